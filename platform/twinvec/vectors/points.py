"""Points of products: ids, payload, and batches that are safe to upload."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from twinvec.columns import ITEM_ID
from twinvec.errors import VerificationError

FloatArray: TypeAlias = npt.NDArray[np.float32]

# Never to be changed: every service that looks a product up by its point id depends on it.
NAMESPACE = uuid.UUID("8f1c7d52-6a0e-5b43-9d27-3e9a4c5b7f10")
# In the place of the marketplace in the point ids of listings, whose own ids are unique.
LISTING = "listing"


def point_id(marketplace: str, product_id: str) -> str:
    """Return the point id of a product: the same wherever and whenever it is published.

    It is the uuid5 of `<marketplace>/<product id>`. A `/` or `%` in a marketplace is written `%2F` or `%25`, so that no
    two pairs give one string; product ids are taken as they are.

    Example:
        >>> point_id("us", "B00001")
        'b6572c11-3104-50e4-9fc4-7ce47b7b4040'
        >>> point_id("a/b", "c") == point_id("a", "b/c")
        False
    """
    escaped = marketplace.replace("%", "%25").replace("/", "%2F")
    return str(uuid.uuid5(NAMESPACE, f"{escaped}/{product_id}"))


def old_point_id(marketplace: str, product_id: str) -> str:
    """Return the point id of releases before marketplaces were escaped: another only if one holds `/` or `%`."""
    return str(uuid.uuid5(NAMESPACE, f"{marketplace}/{product_id}"))


def point_ids(marketplaces: Sequence[str], product_ids: Sequence[str]) -> list[str]:
    """Return the point ids of many products."""
    return [point_id(*pair) for pair in zip(marketplaces, product_ids, strict=True)]


@dataclass(frozen=True)
class PointBatch:
    """Points to upload.

    Raises:
        VerificationError: If the lengths differ, or a vector holds NaN or infinity: Qdrant Edge stores such
            vectors without a word, and they then win or lose every comparison.
    """

    ids: list[str]
    """Point ids, n of them."""
    source: FloatArray
    """Vectors of the products as the source of a recommendation, [n, d] float32."""
    target: FloatArray
    """Vectors of the products as its target, [n, d] float32."""
    payloads: list[dict[str, Any]]
    """Payloads that are stored with the vectors, n of them."""

    def __post_init__(self) -> None:
        """Refuse what should never reach an index."""
        shapes = {"source": self.source.shape, "target": self.target.shape}
        if self.source.ndim != 2 or self.source.shape != self.target.shape:
            raise VerificationError(f"vectors must be two equal [n, d] arrays, not {shapes}")
        if not len(self.ids) == len(self.payloads) == len(self.source):
            raise VerificationError(
                f"{len(self.ids)} ids and {len(self.payloads)} payloads do not belong to vectors {shapes}"
            )
        finite = np.isfinite(np.hstack([self.source, self.target])).all(axis=1)
        if not finite.all():
            first = self.payloads[int(np.argmin(finite))].get("product_id", "?")
            raise VerificationError(
                f"{np.count_nonzero(~finite)} of {len(self.ids)} products have NaN or infinity in a vector, "
                f"product {first} first",
                "train the version again with a lower learning rate, or look for such values in its inputs",
            )


def make_points(
    *,
    product_id: Sequence[str],
    marketplace: Sequence[str],
    title: Sequence[str | None],
    category: Sequence[Sequence[str]],
    price: Sequence[float | None],
    release: str,
    source: FloatArray,
    target: FloatArray,
    currency: Sequence[str | None] | None = None,
    brand: Sequence[str | None] | None = None,
    image: Sequence[str | None] | None = None,
    listing: Sequence[Mapping[str, str]] | None = None,
) -> PointBatch:
    """Return a batch of n products with the payload that services read and filter.

    Args:
        category: The path of each product from root to leaf. It is stored as a list of keywords, and a
            filter matches a point that has any of the categories it names: so at any level of the path.
        price: None or NaN where it is unknown.
        release: The release the points belong to, the same as their collection.
        source: [n, d] float32.
        target: [n, d] float32.
        currency: Of the prices.
        brand, image: Brands, and addresses of images.
        listing: Further payload of listings, `item_id` among it, if the points are not of products. Their point ids
            are made of `LISTING` in place of the marketplace, and the item's id.
    """
    unknown = [None] * len(product_id)
    payloads: list[dict[str, Any]] = [
        {
            "product_id": product,
            "title": name,
            "category": list(path),
            "price": None if amount is None or math.isnan(amount) else float(amount),
            "currency": unit,
            "marketplace": market,
            "brand": maker,
            "image": picture,
            "release": release,
        }
        for product, name, path, amount, market, unit, maker, picture in zip(
            product_id,
            title,
            category,
            price,
            marketplace,
            currency or unknown,
            brand or unknown,
            image or unknown,
            strict=True,
        )
    ]
    if listing is None:
        return PointBatch(point_ids(marketplace, product_id), source, target, payloads)
    payloads = [payload | dict(more) for payload, more in zip(payloads, listing, strict=True)]
    ids = point_ids([LISTING] * len(payloads), [payload[ITEM_ID] for payload in payloads])
    return PointBatch(ids, source, target, payloads)
