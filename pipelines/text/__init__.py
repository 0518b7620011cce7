"""Text embeddings of category and title, by a pretrained sentence encoder (MERLIN 3.3)."""
