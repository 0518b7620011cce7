"""`/similar`: the same product and its substitutes in all stores and languages."""

# No `from __future__ import annotations`: FastAPI reads the annotations of functions inside a function.

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from twinvec.serving.answering import MOST
from twinvec.serving.http.answers import Answer
from twinvec.serving.http.parameters import ImageBytes, Name, Text
from twinvec.serving.http.service import Service
from twinvec.serving.similar import Finder, NewListing, Similar
from twinvec.workspace import Workspace

TAG = "similar products"


class SimilarParameters(BaseModel):
    """Parameters of a question, beside the listing."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(10, ge=1, le=MOST, description="Number of listings.")
    marketplace: Name | None = Field(None, description="Store whose listings are found; all if not given.")
    exact_only: bool = Field(False, description="Leave out what is not taken for the same product.")


class NewListingBody(BaseModel):
    """A listing that is not in the catalogue; anything that is known of it helps."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    title: Text | None = Field(None, examples=["Trail shoe, red"])
    description: Text | None = None
    brand: Name | None = None
    colour: Name | None = None
    size: Name | None = None
    attributes: dict[Name, Name] = Field({}, max_length=100)
    image: ImageBytes | None = Field(None, description="An image file in base64.")


class SimilarListingAnswer(Answer):
    """A listing; a higher score is more similar."""

    score: float
    relation: str = Field(description="`exact`, `substitute` or `other`.", examples=["exact"])
    known: bool = Field(description="Whether the catalogue says so; else the score does, by a bound.")
    item_id: str
    product_id: str
    family_id: str
    title: str | None
    category: tuple[str, ...]
    price: float | None
    currency: str | None = Field(description="Of the price.")
    marketplace: str
    language: str


class SimilarAnswer(Answer):
    """Similar listings, best first, and the release they come from."""

    release: str = Field(examples=["similar_products__v2"])
    item_id: str | None = Field(description="Listing that was asked for; None if it is new.")
    hits: tuple[SimilarListingAnswer, ...]


def similar_router(service: Service, workspace: Workspace) -> APIRouter:
    """Return the routes of similar listings."""
    router = APIRouter()
    finder = Finder(workspace)
    service.warmer.follow(finder.warm)

    def respond(request: Request, answer: Similar) -> Response:
        return service.respond(request, answer, answer.release)

    @router.get("/similar/{item_id:path}", tags=[TAG], response_model=SimilarAnswer)
    def similar(
        request: Request,
        item_id: Annotated[str, Path(description="Id of a listing or of a product.", examples=["B01"])],
        parameters: Annotated[SimilarParameters, Query()],
    ) -> Response:
        """Return the same product and its substitutes, best first."""
        live = finder.live()
        unchanged = service.unchanged(request, live.collection)
        if unchanged is not None:
            return unchanged
        asked = parameters.k, parameters.marketplace, parameters.exact_only
        return respond(request, finder.similar(item_id, *asked, live))

    @router.post("/similar", tags=[TAG], response_model=SimilarAnswer)
    def similar_to_new(
        request: Request, listing: NewListingBody, parameters: Annotated[SimilarParameters, Query()]
    ) -> Response:
        """Return listings similar to one that is not in the catalogue, best first."""
        with service.metrics.encoding():
            new = NewListing(**dict(listing))
            found = finder.similar(new, parameters.k, parameters.marketplace, parameters.exact_only)
        return respond(request, found)

    return router
