"""Embeddings and product scalars as features: the files of a version, and Feast over them."""
