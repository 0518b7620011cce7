"""Evaluation of versions and releases: on edges from a file, by kind of edge, by the index; maps of products."""
