"""The dual-embedding model: a source and a target vector a product over the directed product graph (MERLIN 3.6)."""
