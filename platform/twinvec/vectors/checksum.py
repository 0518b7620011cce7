"""A summary of uploaded points in constant memory, to verify the index against."""

from __future__ import annotations

from collections import Counter
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt

from twinvec.vectors.fingerprint import MODULUS, fingerprint
from twinvec.vectors.index import Filters
from twinvec.vectors.points import FloatArray, PointBatch

COMMON, SMALL, BANDS = 4, 2, 4


class UploadSummary:
    """Running summary of a stream of batches.

    Args:
        dimension: Length d of a vector.
        size: Number of products to sample evenly from the stream.
    """

    def __init__(self, dimension: int, size: int) -> None:
        self.points = 0
        self.fingerprint = 0
        """Fingerprint of all points, see `fingerprint`."""
        self.source: FloatArray = np.empty((0, dimension), np.float32)
        """Sources of the sampled products, [s, d]."""
        self._size = size
        # A product is in the sample if it has one of the smallest random keys.
        self._random = np.random.default_rng(0)
        self._keys: npt.NDArray[np.float64] = np.empty(0)
        self._prices: npt.NDArray[np.float64] = np.empty(0)
        self._categories: Counter[str] = Counter()
        self._marketplaces: Counter[str] = Counter()

    def add(self, batch: PointBatch) -> None:
        """Add a batch."""
        self.points += len(batch.ids)
        self.fingerprint = (self.fingerprint + fingerprint(batch.ids, batch.source, batch.target)) % MODULUS
        # A product counts once for each of its categories, even one that its path names twice.
        self._categories.update(chain.from_iterable(set(payload["category"]) for payload in batch.payloads))
        self._marketplaces.update(payload["marketplace"] for payload in batch.payloads)
        prices = np.array([payload["price"] for payload in batch.payloads], np.float64)  # None becomes NaN
        keys = np.concatenate([self._keys, self._random.random(len(batch.ids))])
        kept = np.argsort(keys)[: self._size]
        self._keys = keys[kept]
        self.source = np.concatenate([self.source, batch.source])[kept]
        self._prices = np.concatenate([self._prices, prices])[kept]

    def filters(self) -> dict[str, tuple[Filters, int | None]]:
        """Return filters to try: the most common and the rarest values of each field, and bands of price.

        Returns:
            Name → filter and number of products that pass it, or None where that was not counted.
        """
        filters: dict[str, tuple[Filters, int | None]] = {}
        for value, count in _tried(self._categories):
            filters[f"category={value}"] = Filters(category=(value,)), count
        for value, count in _tried(self._marketplaces):
            filters[f"marketplace={value}"] = Filters(marketplace=(value,)), count
        prices = self._prices[np.isfinite(self._prices)]
        bounds = np.unique(np.quantile(prices, np.linspace(0, 1, BANDS + 1))).tolist() if prices.size else []
        for low, high in pairwise(bounds):
            filters[f"price={low:g}..{high:g}"] = Filters(min_price=low, max_price=high), None
        return filters


def _tried(counts: Counter[str]) -> list[tuple[str, int]]:
    ranked = counts.most_common()
    return list(dict.fromkeys([*ranked[:COMMON], *ranked[-SMALL:]]))
