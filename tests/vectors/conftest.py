from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient

from twinvec.vectors import CollectionConfig, PointBatch, VectorIndex, make_points
from twinvec.vectors.edge import EdgeIndex
from twinvec.vectors.server import ServerIndex, connect

CATEGORIES = ["Shoes", "Boots", "Hats", "Bags"]


@dataclass(frozen=True)
class Catalogue:
    """Random products, and the batches that publish them."""

    product_id: list[str]
    marketplace: list[str]
    category: list[list[str]]
    price: list[float | None]
    source: np.ndarray
    target: np.ndarray
    release: str

    def points(self, start: int = 0, stop: int | None = None) -> PointBatch:
        rows = slice(start, stop)
        return make_points(
            product_id=self.product_id[rows],
            marketplace=self.marketplace[rows],
            title=[f"Título {product}" for product in self.product_id[rows]],
            category=self.category[rows],
            price=self.price[rows],
            release=self.release,
            source=self.source[rows],
            target=self.target[rows],
        )

    def batches(self, size: int = 100) -> Iterator[PointBatch]:
        for start in range(0, len(self.product_id), size):
            yield self.points(start, start + size)

    def best(self, row: int, k: int, allowed: np.ndarray | None = None) -> tuple[list[str], np.ndarray]:
        """By brute force: the ids and scores of the k best targets of this row's source."""
        scores = self.target @ self.source[row]
        if allowed is not None:
            scores = np.where(allowed, scores, -np.inf)
        order = np.argsort(-scores)[:k]
        order = order[np.isfinite(scores[order])]
        return [self.product_id[i] for i in order], scores[order]


def random_catalogue(points: int, dimension: int, seed: int) -> Catalogue:
    random = np.random.default_rng(seed)
    return Catalogue(
        product_id=[f"B{row:05d}" for row in range(points)],
        marketplace=[["us", "es"][i] for i in random.integers(2, size=points)],
        category=[["All", CATEGORIES[i]] for i in random.integers(len(CATEGORIES), size=points)],
        price=[None if cost < 3 else round(cost, 2) for cost in random.uniform(0, 100, points).tolist()],
        source=random.standard_normal((points, dimension)).astype(np.float32),
        target=random.standard_normal((points, dimension)).astype(np.float32),
        release="related_products__v1",
    )


@pytest.fixture
def catalogue() -> Catalogue:
    seed = uuid.uuid4().int % 2**32
    print(f"catalogue seed {seed}")  # noqa: T201
    return random_catalogue(337, 13, seed)


@pytest.fixture(scope="session")
def make_catalogue() -> Callable[..., Catalogue]:
    return random_catalogue


@pytest.fixture
def config(catalogue: Catalogue) -> CollectionConfig:
    return CollectionConfig(13, 16, 100, 10_000, {"manifest": "0123456789abcdef", "version": "related@v1"})


@pytest.fixture
def collection() -> str:
    """A name nobody else uses: a server may be shared."""
    return f"test_{uuid.uuid4().hex}__v1"


@pytest.fixture
def memory_client() -> Iterator[QdrantClient]:
    client = QdrantClient(":memory:")
    yield client
    client.close()


@pytest.fixture
def server_client() -> Iterator[QdrantClient]:
    """A real server, whose collections named `test_…` are removed afterwards."""
    url = os.environ.get("QDRANT_URL")
    if not url:
        pytest.skip("QDRANT_URL is not set")
    client = connect(url, os.environ.get("QDRANT_API_KEY"), 60)
    before = {item.name for item in client.get_collections().collections}
    yield client
    for item in client.get_collections().collections:
        if item.name not in before and item.name.startswith("test_"):
            client.delete_collection(item.name)
    client.close()


@pytest.fixture(params=["edge", "memory", "server"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorIndex]:
    if request.param == "edge":
        opened: VectorIndex = EdgeIndex(tmp_path / "qdrant")
    else:
        opened = ServerIndex(request.getfixturevalue(f"{request.param}_client"))
    yield opened
    if request.param != "server":
        opened.close()
