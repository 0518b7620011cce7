"""Twinvec: product embeddings with two vectors a product, from catalogue to vector search."""

__version__ = "0.1.0"
