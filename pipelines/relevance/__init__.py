"""Relevance of products to search queries: SALAM, its data, training, release and answers."""
