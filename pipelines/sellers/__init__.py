"""Products to recommend to sellers, by weighted averaging of messages over layers (WAML)."""
