"""A shop that never was, with known ground truth: the demo's source, and every test's."""

from twinvec.catalogue.synthetic.store import SIZES, StoreSummary, generate

__all__ = ["SIZES", "StoreSummary", "generate"]
