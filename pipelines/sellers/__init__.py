"""Recommendation of products to sellers, by weighted averaging of messages over layers (WAML)."""
