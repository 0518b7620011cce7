"""How good recommendations are (MERLIN 4.1.4), and tables that set models, content and graphs side by side (4.2)."""
