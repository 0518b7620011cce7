"""Two random releases over one catalogue, in Qdrant Edge and in the client's in-memory mode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from qdrant_client import QdrantClient

from twinvec.serving.answering import Answerer
from twinvec.serving.related import Recommender
from twinvec.serving.rules import Rules
from twinvec.settings import QdrantSettings
from twinvec.vectors import VectorIndex, make_points, publish
from twinvec.vectors.edge import EdgeIndex
from twinvec.vectors.server import ServerIndex

PRODUCTS, DIMENSION, NAME = 211, 9, "related_products"
CURRENCY = {"us": "USD", "es": "EUR"}


@dataclass(frozen=True)
class Shop:
    """A catalogue, the vectors of its releases, and an index that holds both."""

    index: VectorIndex
    ids: list[str]
    marketplace: npt.NDArray[np.str_]
    category: npt.NDArray[np.str_]
    brand: npt.NDArray[np.str_]
    price: npt.NDArray[np.float64]
    source: npt.NDArray[np.float32]
    target: npt.NDArray[np.float32]

    @property
    def recommender(self) -> Recommender:
        return Recommender(self.index, NAME, 128)

    @property
    def answerer(self) -> Answerer:
        """All marketplaces by default, as brute force has it."""
        return Answerer(self.recommender, Rules(own_marketplace=False))

    def go_live(self, number: int) -> None:
        self.index.switch_alias(NAME, f"{NAME}__v{number}")

    def best(self, number: int, row: int, k: int, allowed: npt.NDArray[np.bool_] | None = None) -> list[str]:
        """By brute force: the ids of the k best targets of this row's source, without itself."""
        scores = self.target[number - 1] @ self.source[number - 1][row]
        kept = np.arange(PRODUCTS) != row
        scores = np.where(kept if allowed is None else kept & allowed, scores, -np.inf)
        return [self.ids[i] for i in np.argsort(-scores)[:k] if np.isfinite(scores[i])]


@pytest.fixture(scope="session", params=["edge", "memory"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    index: VectorIndex = (
        EdgeIndex(tmp_path_factory.mktemp("qdrant"))
        if request.param == "edge"
        else ServerIndex(QdrantClient(":memory:"))
    )
    random = np.random.default_rng(61)
    shop = Shop(
        index,
        # Ids as shops have them: with what means something in a URL, too.
        [f"B{row:04d}" for row in range(PRODUCTS - 1)] + ["SKU/7 a&b?#ü"],
        random.choice(["us", "es"], PRODUCTS),
        random.choice(["Hats", "Boots", "Bags"], PRODUCTS),
        random.choice(["Acme", "Blue", "Cord"], PRODUCTS),
        np.where(random.random(PRODUCTS) < 0.1, np.nan, random.uniform(1, 100, PRODUCTS).round(2)),
        random.standard_normal((2, PRODUCTS, DIMENSION)).astype(np.float32),
        random.standard_normal((2, PRODUCTS, DIMENSION)).astype(np.float32),
    )
    for number in (1, 2):
        collection = f"{NAME}__v{number}"
        batch = make_points(
            product_id=shop.ids,
            marketplace=shop.marketplace.tolist(),
            title=[f"thing {product}" if row % 9 else None for row, product in enumerate(shop.ids)],
            category=[["All", name] for name in shop.category],
            price=shop.price.tolist(),
            currency=[CURRENCY[market] for market in shop.marketplace],
            brand=shop.brand.tolist(),
            release=collection,
            source=shop.source[number - 1],
            target=shop.target[number - 1],
        )
        metadata = {"version": f"related@v{number}", "manifest": f"{number:016x}"}
        publish(index, collection, [batch], PRODUCTS, DIMENSION, metadata, QdrantSettings())
    yield shop
    index.close()


@pytest.fixture
def live(shop: Shop) -> Shop:
    """The shop with its first release live."""
    shop.go_live(1)
    return shop
