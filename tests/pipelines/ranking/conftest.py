"""A small catalogue with random edges, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipelines.graph.product_graph import Edges
from pipelines.ranking.content import Content, unit
from pipelines.ranking.features import Known, Vectors, Walks
from pipelines.ranking.relations import Relations

PRODUCTS, DIMENSION = 61, 5
MakeKnown = Callable[[Edges], Known]


def draw_edges(random: np.random.Generator, count: int) -> Edges:
    pairs = np.unique(random.integers(0, PRODUCTS, (count, 2)), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return Edges(pairs[:, 0].copy(), pairs[:, 1].copy(), np.ones(len(pairs), np.int64))


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(20_263)


@pytest.fixture
def edges(random: np.random.Generator) -> Edges:
    return draw_edges(random, 330)


@pytest.fixture
def known_of(random: np.random.Generator) -> MakeKnown:
    """Return what is known of the catalogue if some edges are observed; all else is the same at each call."""
    coviews = draw_edges(random, 90)
    content = Content(
        levels=random.integers(-1, 3, (PRODUCTS, 2)).astype(np.int32),
        path=random.integers(-1, 6, PRODUCTS).astype(np.int32),
        brand=random.integers(-1, 4, PRODUCTS).astype(np.int32),
        price=np.where(random.random(PRODUCTS) < 0.2, np.nan, 1 + random.random(PRODUCTS)).astype(np.float32),
        text=unit(random.standard_normal((PRODUCTS, 7)).astype(np.float32)),
    )
    vectors = Vectors(*random.standard_normal((2, PRODUCTS, DIMENSION)).astype(np.float32))
    walks = Walks(restart=0.3, steps=4, least=1e-4)

    def make(observed: Edges) -> Known:
        relations = Relations.of(observed, coviews, PRODUCTS, hub=9, keep=11)
        return Known(relations, content, vectors, walks, np.arange(PRODUCTS, dtype=np.uint64))

    return make
