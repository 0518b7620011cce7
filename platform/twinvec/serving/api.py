"""The HTTP API. A new live release answers from the next request on, without a restart."""

# No `from __future__ import annotations`: FastAPI reads the annotations of functions inside a function.

from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

import twinvec
from twinvec.errors import TwinvecError
from twinvec.serving.related import Recommender, UnknownProductError
from twinvec.vectors.index import Filters

MOST = 1000


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


class HitAnswer(Answer):
    """A related product; a higher score is more related."""

    score: float
    product: ProductAnswer


class RelatedAnswer(Answer):
    """Related products, best first, and the release they come from."""

    release: str
    product: ProductAnswer
    hits: tuple[HitAnswer, ...]


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
    """What was wrong, and what to do about it."""

    detail: str
    hint: str


def create_app(recommender: Recommender) -> FastAPI:
    """The API over one recommender."""
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
        status = 404 if isinstance(error, UnknownProductError) else 503
        return JSONResponse(ErrorAnswer(detail=error.message, hint=error.hint).model_dump(), status)

    @app.get("/health")
    def health() -> HealthAnswer:
        """Whether the API and Qdrant answer, even if no release is live yet: what keeps a container going."""
        return HealthAnswer(status="ok", release=recommender.live_collection())

    @app.get("/ready")
    def ready() -> HealthAnswer:
        """Whether a live release answers: what a load balancer should ask."""
        return HealthAnswer(status="ok", release=recommender.live().collection)

    @app.get("/release")
    def release() -> ReleaseAnswer:
        """The live release: its size, version, snapshot and the digest of its manifest."""
        return ReleaseAnswer.model_validate(recommender.live())

    @app.get(
        "/related/{product_id:path}",
        responses={404: {"model": ErrorAnswer, "description": "The live release has no such product."}},
    )
    def related(
        product_id: str,
        k: Annotated[int, Query(ge=1, le=MOST, description="How many.")] = 10,
        category: Annotated[list[str], Query(description="Any of these, at any level.")] = [],  # noqa: B006
        marketplace: Annotated[list[str], Query(description="Any of these.")] = [],  # noqa: B006
        min_price: Annotated[float | None, Query(ge=0)] = None,
        max_price: Annotated[float | None, Query(ge=0)] = None,
    ) -> RelatedAnswer:
        """The products most related to one, best first; the filters choose among them."""
        filters = Filters(tuple(category), tuple(marketplace), min_price, max_price)
        return RelatedAnswer.model_validate(recommender.related(product_id, k, filters))

    return app
