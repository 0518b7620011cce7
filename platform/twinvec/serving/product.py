"""A product as answers show it, and a hit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True)
class Product:
    """A product as its point stores it, without the vectors."""

    product_id: str | None
    """None of a product that is not in the catalogue."""
    title: str | None
    category: tuple[str, ...]
    """From the root to the leaf."""
    price: float | None
    marketplace: str | None
    """None of a product that is not in the catalogue."""
    currency: str | None = None
    """Currency of the price; None in releases that were published before it was kept."""
    brand: str | None = None
    image: str | None = None
    """Address of its image, as the catalogue has it."""
    link: str | None = None
    """Address of its page, by the setting `serving.link`."""
    fields: Mapping[str, Any] | None = None
    """Further fields that were asked for."""
    _payload: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any], link: str | None = None) -> Product:
        """Return the product of a point's payload.

        Args:
            payload: Fields of the point.
            link: Address of a product's page, with `{product_id}` and `{marketplace}`.
        """
        address = None
        if link is not None:
            names = {name: quote(payload[name], safe="") for name in ("product_id", "marketplace")}
            address = link.format(**names)
        return cls(
            payload["product_id"],
            payload["title"],
            tuple(payload["category"]),
            payload["price"],
            payload["marketplace"],
            payload.get("currency"),
            payload.get("brand"),
            payload.get("image"),
            address,
            None,
            payload,
        )

    @property
    def payload(self) -> Mapping[str, Any]:
        """All fields of its point; empty for a product that is not in the catalogue."""
        return self._payload


@dataclass(frozen=True)
class RelatedProduct:
    """A product of the answer.

    Attributes:
        score: The ranker's score if the product is `listed`; else the dot product of the query's source vector and
            its target vector. Scores of the two kinds are on different scales.
        product: The product.
        reasons: Kind of evidence → what it added to the ranker's score, the largest first; None unless asked for.
        listed: Whether a ranker gave it its place: in the product's list, or on the fly if the product is not in the
            catalogue.
        pinned: Whether the question put it here; its score may then be NaN, which JSON has as null.
    """

    score: float
    product: Product
    reasons: Mapping[str, float] | None = None
    listed: bool = False
    pinned: bool = False
