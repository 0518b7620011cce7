"""Answers as OpenAPI describes them. They are written from the dataclasses directly, once; tests hold the two equal."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """A response; nothing else is in it."""

    model_config = ConfigDict(extra="forbid")


class ProductAnswer(Answer):
    """A product; one that is not in the catalogue has only the fields of the request."""

    product_id: str | None = Field(examples=["5555991584"])
    title: str | None = Field(examples=["Blue Train"])
    category: tuple[str, ...] = Field(description="From the root to the leaf.", examples=[("Music", "Jazz")])
    price: float | None = Field(examples=[9.99])
    marketplace: str | None = Field(examples=["us"])
    currency: str | None = Field(examples=["USD"])
    brand: str | None = Field(examples=["Acme"])
    image: str | None = Field(description="Address of its image, as the catalogue has it.")
    link: str | None = Field(description="Address of its page.")
    fields: dict[str, Any] | None = Field(description="Fields that were asked for.")


class HitAnswer(Answer):
    """A related product; a higher score is more related."""

    score: float | None = Field(
        description="None of a product that was pinned, or is popular.", examples=[1.25]
    )
    product: ProductAnswer
    reasons: dict[str, float] | None = Field(description="Kind of evidence → what it added to the score.")
    listed: bool = Field(
        description="Whether a learned ranker gave it its place: in the product's list, or on the fly for a product "
        "that is not in the catalogue."
    )
    pinned: bool = Field(description="Whether the question or the settings put it here.")


class RelatedAnswer(Answer):
    """Related products, best first, and the release they come from.

    Scores of hits that are `listed` are on the scale of a learned ranker; those of others are dot products of vectors.
    """

    release: str = Field(examples=["related_products__v7"])
    product: ProductAnswer
    hits: tuple[HitAnswer, ...]
    ranked: int = Field(description="Number of hits that are listed.", examples=[10])
    fallback: str | None = Field(
        description="`popular` if popular products stand in; `unknown` in a batch if nothing does."
    )


class BatchAnswer(Answer):
    """An answer for each product, in the order of the request."""

    release: str
    answers: tuple[RelatedAnswer, ...]


class SellerAnswer(Answer):
    """Products to recommend to a seller, the nearest first."""

    seller_id: str
    version: str = Field(examples=["sellers@v2"])
    release: str | None = Field(description="Collection that was searched; None if files were.")
    offers: int = Field(description="Number of products that the seller offers already.")
    hits: tuple[HitAnswer, ...]


class ReleaseAnswer(Answer):
    """The live release."""

    name: str = Field(examples=["related_products"])
    collection: str = Field(examples=["related_products__v7"])
    products: int
    metadata: dict[str, str]


class HealthAnswer(Answer):
    """The process answers."""

    status: str = Field(examples=["ok"])


class ReadyAnswer(HealthAnswer):
    """A live release answers."""

    release: str = Field(examples=["related_products__v7"])
