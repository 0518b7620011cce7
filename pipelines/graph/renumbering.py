"""Edges of a graph between some of its products only, numbered by the rows of another array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.graph.product_graph import Edges, ProductGraph


def row_of(graph: ProductGraph, product_ids: pa.Array | Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the row of each of the graph's products in `product_ids`, int64 [products], −1 where it is missing."""
    rows = pc.index_in(graph.product_ids, pa.array(product_ids, graph.product_ids.type))
    numbers: npt.NDArray[np.int64] = pc.fill_null(rows, -1).to_numpy().astype(np.int64)
    return numbers


def renumbered(edges: Edges, row: npt.NDArray[np.int64]) -> Edges:
    """Return the edges whose two products have a row, with these rows as their ends.

    Args:
        edges: Edges between the products of a graph.
        row: Row of each product, int64 [products], −1 where it has none.
    """
    source, target = row[edges.source], row[edges.target]
    present = (source >= 0) & (target >= 0)
    return replace(edges.only(present), source=source[present], target=target[present])
