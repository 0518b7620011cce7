"""Loaders: each reads one format of catalogue and behaviour logs."""

from __future__ import annotations

from twinvec.catalogue.loaders.registered import Loader, find_loader, loader_names, source_columns

__all__ = ["Loader", "find_loader", "loader_names", "source_columns"]
