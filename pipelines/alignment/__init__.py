"""Text and image features aligned by what is viewed together (MERLIN 3.5)."""
