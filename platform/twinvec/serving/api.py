"""HTTP API. A new live release answers from the next request on, without a restart."""

# No `from __future__ import annotations`: FastAPI reads the annotations of functions inside a function.

import base64
import binascii
import re
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

import twinvec
from twinvec.errors import TwinvecError
from twinvec.serving.related import (
    ColdStart,
    Explainer,
    NewProduct,
    Recommender,
    UnknownProductError,
    UnusableProductError,
)
from twinvec.vectors.index import Filters

MOST = 1000
STATUS = {UnknownProductError: 404, UnusableProductError: 422}


class Answer(BaseModel):
    """A response, read from the attributes of what the recommender gives."""

    model_config = ConfigDict(from_attributes=True)


class ProductAnswer(Answer):
    """A product."""

    product_id: str
    title: str | None
    category: tuple[str, ...]
    price: float | None
    marketplace: str


def decode_base64(text: object) -> object:
    """Return the bytes of a base64 text, which may be wrapped in lines or be a `data:` URL.

    Raises:
        ValueError: If it is not base64, or not all of it.
    """
    if not isinstance(text, str | bytes):
        return text
    written = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    written = re.sub(r"\s+", "", re.sub(r"^data:[^,]*;base64,", "", written))
    try:
        return base64.b64decode(
            written, altchars=b"-_" if re.search("[-_]", written) else None, validate=True
        )
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64: give the bytes of an image file in base64") from error


ImageBytes = Annotated[
    bytes, BeforeValidator(decode_base64), WithJsonSchema({"type": "string", "format": "base64"})
]


class NewProductBody(BaseModel):
    """A product that is not in the catalogue; one of the three is enough."""

    model_config = ConfigDict(extra="forbid")

    title: str | None = None
    category: str | None = Field(None, description="Its path, `Music > Jazz`, or the name of the leaf alone.")
    image: ImageBytes | None = Field(None, description="An image file in base64.")


class HitAnswer(Answer):
    """A related product; a higher score is more related."""

    score: float
    product: ProductAnswer
    reasons: dict[str, float] | None


class AskedAnswer(ProductAnswer):
    """The product that was asked for; a new one has only the fields of the request."""

    product_id: str | None  # type: ignore[assignment]
    marketplace: str | None  # type: ignore[assignment]


class RelatedAnswer(Answer):
    """Related products, best first, and the release they come from.

    The first `ranked` hits are of the product's list, in the order of a learned ranker. The others are found by the
    vectors; their scores are on another scale.
    """

    release: str
    product: AskedAnswer
    hits: tuple[HitAnswer, ...]
    ranked: int


class ReleaseAnswer(Answer):
    """The live release."""

    name: str
    collection: str
    products: int
    metadata: dict[str, str]


class HealthAnswer(BaseModel):
    """The API answers, and so does Qdrant."""

    status: str
    release: str | None


class ErrorAnswer(BaseModel):
    """An error, and what to do about it."""

    detail: str
    hint: str


def chosen(
    category: Annotated[list[str], Query(description="Any of these, at any level.")] = [],  # noqa: B006
    marketplace: Annotated[list[str], Query(description="Any of these.")] = [],  # noqa: B006
    min_price: Annotated[float | None, Query(ge=0)] = None,
    max_price: Annotated[float | None, Query(ge=0)] = None,
) -> Filters:
    """Return the filters of a request."""
    return Filters(tuple(category), tuple(marketplace), min_price, max_price)


Explained = Annotated[
    bool,
    Query(
        description="Whether to tell what each kind of evidence added to the score of a hit from the list."
    ),
]
Many = Annotated[int, Query(ge=1, le=MOST, description="How many.")]
Chosen = Annotated[Filters, Depends(chosen)]


def create_app(
    recommender: Recommender, cold_start: ColdStart | None = None, explainer: Explainer | None = None
) -> FastAPI:
    """Return the API over one recommender.

    Args:
        recommender: Answers for products of the catalogue.
        cold_start: Answers for products that are not in the catalogue.
        explainer: Tells the reasons of answers from lists.
    """
    unavailable = {
        503: {"model": ErrorAnswer, "description": "No release is live, or Qdrant does not answer."}
    }
    app = FastAPI(
        title="Twinvec",
        version=twinvec.__version__,
        description="Related products from the live release.",
        responses=unavailable,  # type: ignore[arg-type]
    )

    @app.exception_handler(TwinvecError)
    def explain(_request: Request, error: TwinvecError) -> JSONResponse:
        status = STATUS.get(type(error), 503)
        return JSONResponse(ErrorAnswer(detail=error.message, hint=error.hint).model_dump(), status)

    @app.get("/health")
    def health() -> HealthAnswer:
        """Tell that the API and Qdrant answer, even if no release is live yet: for a container's health check."""
        return HealthAnswer(status="ok", release=recommender.live_collection())

    @app.get("/ready")
    def ready() -> HealthAnswer:
        """Tell that a live release answers: for a load balancer."""
        return HealthAnswer(status="ok", release=recommender.live().collection)

    @app.get("/release")
    def release() -> ReleaseAnswer:
        """Return the live release: its size, version, snapshot and the digest of its manifest."""
        return ReleaseAnswer.model_validate(recommender.live())

    @app.get(
        "/related/{product_id:path}",
        responses={404: {"model": ErrorAnswer, "description": "The live release has no such product."}},
    )
    def related(product_id: str, filters: Chosen, k: Many = 10, explain: Explained = False) -> RelatedAnswer:
        """Return the products most related to one, best first; the filters choose among them.

        The first explanation after a start, or after another release went live, loads the ranker and the graph.
        """
        answer = recommender.related(product_id, k, filters)
        if explain and explainer is not None:
            answer = explainer.explain(answer)
        return RelatedAnswer.model_validate(answer)

    if cold_start is not None:

        @app.post("/related")
        def related_to_new(product: NewProductBody, filters: Chosen, k: Many = 10) -> RelatedAnswer:
            """Return the products most related to one that is not in the catalogue; the filters choose among them.

            The first request after a start, or after another release went live, loads the encoders.
            """
            new = NewProduct(product.title, product.category, product.image)
            return RelatedAnswer.model_validate(cold_start.related(new, k, filters))

    return app
