"""`/relevance`: how relevant products are to a search query."""

# No `from __future__ import annotations`: FastAPI reads the annotations of functions inside a function.

from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from twinvec.serving.answering import MOST
from twinvec.serving.http.answers import Answer
from twinvec.serving.http.parameters import Name, Text
from twinvec.serving.http.service import Service
from twinvec.serving.related import NewProduct
from twinvec.serving.relevance import Classifier, open_classifier
from twinvec.workspace import Workspace

TAG = "search relevance"


def _products_of_either_kind(schema: dict[str, Any]) -> None:
    kinds = ("product_ids", "products")
    schema["anyOf"] = [{"required": [name], "properties": {name: {"minItems": 1}}} for name in kinds]


class DescribedBody(BaseModel):
    """A product that is not in the catalogue; one of the two is enough."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"anyOf": [{"required": ["title"]}, {"required": ["category"]}]}
    )

    title: Text | None = Field(None, examples=["Case for a phone, red"])
    category: Text | None = Field(None, description="Read if there is no title.", examples=["Phones > Cases"])


class RelevanceBody(BaseModel):
    """A search query, and the products that are judged: at least one, by id or by description."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_products_of_either_kind)

    query: Annotated[Text, Field(pattern=r"\S")] = Field(
        description="Words of a search. A query of the catalogue is recognised, whatever its case.",
        examples=["phone case"],
    )
    product_ids: list[Name] = Field(
        [],
        max_length=MOST,
        description="Products of the catalogue; they come first in the answer.",
        examples=[["B07XYZ", "B08ABC"]],
    )
    products: list[DescribedBody] = Field(
        [], max_length=MOST, description="Products that are not in the catalogue; they come after the others."
    )
    locale: Name | None = Field(
        None,
        description="Region whose customer asks; that with most judgements if not given.",
        examples=["us"],
    )
    release: Name | None = Field(
        None, description="Release to ask in place of the live one, as `v3`.", examples=["v3"]
    )

    @model_validator(mode="after")
    def _has_products(self) -> "RelevanceBody":
        count = len(self.product_ids) + len(self.products)
        if not 1 <= count <= MOST:
            raise ValueError(f"name or describe from 1 to {MOST} products, not {count}")
        return self


class RelevantProductAnswer(Answer):
    """A product and its relevance to the query."""

    product_id: str | None = Field(description="None of one that was described.", examples=["B07XYZ"])
    label: str = Field(
        description="`E` (exact), `S` (substitute), `C` (complement), `I` (irrelevant), or classes that the model does "
        "not tell apart, such as `CI`.",
        examples=["E"],
    )
    probabilities: dict[str, float] = Field(
        description="Class → probability; they sum to one.",
        examples=[{"E": 0.7, "S": 0.2, "C": 0.06, "I": 0.04}],
    )
    by_graph: bool = Field(description="Whether purchases were read beside the texts.")


class RelevanceAnswer(Answer):
    """Relevance of products to a query, in the order of the request, and the release it comes from."""

    query: str = Field(examples=["phone case"])
    locale: str = Field(examples=["us"])
    model: str = Field(description="Region whose model answered, or `all regions`.", examples=["us"])
    release: str = Field(examples=["search_relevance__v3"])
    version: str = Field(examples=["relevance@v3"])
    known_query: bool = Field(description="Whether the text is a query of the catalogue.")
    products: tuple[RelevantProductAnswer, ...]


def relevance_router(service: Service, workspace: Workspace) -> APIRouter:
    """Return the route of search relevance. Its models are loaded at the start, and after a promotion."""
    router = APIRouter()

    @cache
    def classifier() -> Classifier:
        return open_classifier(workspace)

    service.warmer.follow(lambda: classifier().warm())

    @router.post("/relevance", tags=[TAG], response_model=RelevanceAnswer)
    def relevance(request: Request, body: RelevanceBody) -> Response:
        """Return whether each product is what was searched, a substitute, a complement, or irrelevant."""
        described = [NewProduct(each.title, each.category) for each in body.products]
        answer = classifier().relevance(
            body.query, [*body.product_ids, *described], body.locale, body.release
        )
        return service.respond(request, answer, answer.release)

    return router
