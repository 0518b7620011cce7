"""`/related`: one product, a batch, a basket, or a product that is not in the catalogue."""

# No `from __future__ import annotations`: FastAPI reads the annotations of functions inside a function.

from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from twinvec.serving.answering import Question
from twinvec.serving.http.answers import BatchAnswer, RelatedAnswer
from twinvec.serving.http.parameters import ManyBody, NewProductBody, Questions, RelatedParameters
from twinvec.serving.http.service import Service, write
from twinvec.serving.related import NewProduct

TAG = "related products"
Parameters = Annotated[RelatedParameters, Query()]


async def answer_one(service: Service, request: Request, product_id: str, question: Question) -> Response:
    """Return the answer to a question about one product: its body, or status 304 if the caller holds it."""
    collection = await service.collection(request, question.release)
    unchanged = service.unchanged(request, collection)
    if unchanged is not None:
        return unchanged
    (content,) = await service.related("/related/{product_id}", [product_id], question, collection)
    return service.respond(request, content, collection)


async def answer_many(service: Service, request: Request, body: ManyBody) -> Response:
    """Return an answer for each product of a body."""
    question = body.question()
    collection = await service.collection(request, question.release)
    answers = await service.related("/related/batch", body.ids, question, collection)
    content = write({"release": collection, "answers": list(map(orjson.Fragment, answers))})
    return service.respond(request, content, collection)


async def answer_new(
    service: Service, request: Request, product: NewProductBody, question: Question
) -> Response:
    """Return the answer for a product that is not in the catalogue."""
    new = NewProduct(product.title or None, product.category or None, product.image or None)
    collection = await service.collection(request, question.release)
    with service.metrics.encoding():
        answer = await run_in_threadpool(service.answerer.related_to_new, new, question, collection)
    service.metrics.answered("/related", empty=not answer.hits, fallback=answer.fallback)
    return service.respond(request, answer, answer.release)


def related_router(service: Service, known: Questions) -> APIRouter:
    """Return the routes of related products.

    Args:
        service: Service.
        known: Gets the questions of query strings that were validated.
    """
    router = APIRouter()
    answerer = service.answerer

    @router.get("/related/{product_id:path}", tags=[TAG], response_model=RelatedAnswer)
    async def related(
        request: Request,
        product_id: Annotated[
            str, Path(description="Id of a product of the catalogue.", examples=["5555991584"])
        ],
        parameters: Parameters,
    ) -> Response:
        """Return the products most related to one, best first, under the rules.

        The first explanation after a start, or after another release went live, loads the ranker and the graph.
        """
        question = parameters.question()
        answer = await answer_one(service, request, product_id, question)
        known.keep(request.scope["query_string"], question)
        return answer

    @router.post("/related/batch", tags=[TAG], response_model=BatchAnswer)
    async def batch(request: Request, body: ManyBody) -> Response:
        """Return an answer for each of up to 1,000 products, all of one release; an unknown one has no hits."""
        return await answer_many(service, request, body)

    @router.post("/related/basket", tags=[TAG], response_model=RelatedAnswer)
    async def basket(request: Request, body: ManyBody) -> Response:
        """Return one list for a basket of products, without them, merged from their lists.

        The score of a hit is the sum of 1 / (60 + place) over the lists that have it.
        """
        question = body.question()
        collection = await service.collection(request, question.release)
        answer = await service.run(
            lambda: answerer.basket(body.ids, question, collection), collection, question, len(body.ids)
        )
        service.metrics.answered("/related/basket", empty=not answer.hits, fallback=answer.fallback)
        return service.respond(request, answer, answer.release)

    if answerer.cold_start is not None:

        @router.post("/related", tags=[TAG], response_model=RelatedAnswer)
        async def related_to_new(
            request: Request, product: NewProductBody, parameters: Parameters
        ) -> Response:
            """Return the products most related to one that is not in the catalogue, under the rules."""
            question = parameters.question()
            answer = await answer_new(service, request, product, question)
            known.keep(request.scope["query_string"], question)
            return answer

    return router
