"""Related products: a source and a target vector of each product over the directed product graph (MERLIN 3.6)."""
