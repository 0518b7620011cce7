"""A small random graph of sellers, products and categories."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipelines.sellers.graph import SellerGraph, build_graph
from pipelines.sellers.reduction import Bounded, Reduced


def random_graph(seed: int, sellers: int = 9, products: int = 23, categories: int = 4) -> SellerGraph:
    draw = np.random.default_rng(seed)
    links = np.unique(np.sort(draw.integers(0, products - 1, (40, 2)), axis=1), axis=0)
    links = links[links[:, 0] < links[:, 1]]
    # The last product has neither links nor offers, nor a category.
    offers = np.unique(
        np.stack([draw.integers(0, sellers, 60), draw.integers(0, products - 1, 60)], 1), axis=0
    )
    reduced = Reduced(
        sellers=pa.array([f"s{number:03}" for number in range(sellers)]),
        products=pa.array([f"p{number:03}" for number in range(products)]),
        categories=pa.array([f"c{number:03}" for number in range(categories)]),
        candidate=draw.random(products) < 0.8,
        links=(links[:, 0], links[:, 1], np.ones(len(links), np.int64)),
        offers=(offers[:, 0], offers[:, 1]),
        members=(np.arange(products - 1), draw.integers(0, categories, products - 1)),
        counts=(),
        bounded=Bounded(0, 0),
    )
    return build_graph(reduced, validation=0.1, test=0.2, seed=seed)


@pytest.fixture(params=range(3))
def graph(request: pytest.FixtureRequest) -> SellerGraph:
    return random_graph(request.param)
