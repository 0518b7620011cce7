"""Synthetic stores with known ground truth, for the demo and the tests."""

from twinvec.catalogue.synthetic.store import SIZES, StoreSummary, generate

__all__ = ["SIZES", "StoreSummary", "generate"]
