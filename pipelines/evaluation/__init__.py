"""How good recommendations are: node recommendation and edge direction (MERLIN 4.1.4)."""
