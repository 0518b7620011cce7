"""Comparison of two versions of one space (drift), and alignment of one to the space of the other."""
