"""Associations of categories that are bought together, and category embeddings that reproduce them (MERLIN 3.2)."""
