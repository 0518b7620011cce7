"""Neighbour sampling: blocks of sampled neighbours, and the samplers that draw them."""
