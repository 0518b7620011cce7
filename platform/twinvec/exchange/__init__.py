"""Vectors made elsewhere, and vectors for elsewhere: import and export of versions as Parquet."""

from __future__ import annotations

from twinvec.exchange.exporting import export_version
from twinvec.exchange.importing import import_vectors

__all__ = ["export_version", "import_vectors"]
