"""Image embeddings of the products' pictures (MERLIN 3.4)."""
