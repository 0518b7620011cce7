"""A small random product graph, with products that have no edges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from pipelines.graph.product_graph import Edges, ProductGraph

MakeGraph = Callable[..., ProductGraph]


def edges(pairs: np.ndarray) -> Edges:
    return Edges(pairs[:, 0].copy(), pairs[:, 1].copy(), np.ones(len(pairs), np.int64))


@pytest.fixture
def random_graph() -> MakeGraph:
    def make(seed: int, products: int = 47, copurchase: int = 170, coview: int = 90) -> ProductGraph:
        """Products 0 to `products` − 4 have edges; the last three have none."""
        random = np.random.default_rng(seed)
        both = []
        for count in (copurchase, coview):
            pairs = np.unique(random.integers(0, products - 3, (count, 2)), axis=0)
            both.append(edges(pairs[pairs[:, 0] != pairs[:, 1]]))
        ids = pa.array([f"p{i:03}" for i in range(products)])
        return ProductGraph(ids, both[0], both[1], *(np.zeros(len(part), np.int8) for part in both))

    return make
