"""How strongly categories are bought together, and an embedding of each that reproduces it (MERLIN 3.2)."""
