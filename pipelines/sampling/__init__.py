"""Neighbour sampling: which rows of the layer below a batch needs, as plain tensors that any layer can take."""
