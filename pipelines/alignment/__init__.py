"""Alignment of text and image features over co-views (MERLIN 3.5)."""
