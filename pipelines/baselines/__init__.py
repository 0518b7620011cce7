"""Baselines: other ways of ranking related products, from the same training edges as the models."""
