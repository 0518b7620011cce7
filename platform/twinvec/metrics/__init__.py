"""Ranking, direction and link-prediction metrics over score matrices."""
