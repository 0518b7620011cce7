"""Errors as JSON: one form for all, without paths of the server and without the caller's input."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from twinvec.errors import TwinvecError
from twinvec.serving.choices import UnusableFilterError
from twinvec.serving.explore.opening import NoMapError
from twinvec.serving.explore.thumbnails import NoPictureError
from twinvec.serving.related import UnknownNameError, UnknownProductError, UnusableProductError
from twinvec.serving.sellers import UnknownSellerError
from twinvec.text import valid

STATUS: Mapping[type[Exception], int] = {
    UnknownProductError: 404,
    UnknownNameError: 404,
    UnknownSellerError: 404,
    NoMapError: 404,
    NoPictureError: 404,
    UnusableProductError: 422,
    UnusableFilterError: 422,
}
# Problems of one request that are named in its answer.
SHOWN = 5
PATH = re.compile(r"(?:\w+:/+)?(?<!\w)/(?:[\w.@+\-]+/)+[\w.@+\-]*|\w+:///?[^\s'\"]+")
LOG = logging.getLogger("twinvec.serving")


class ErrorAnswer(BaseModel):
    """An error, and what to do about it."""

    detail: str = Field(examples=["product 'X1' is not among the 200 of related_products__v1"])
    hint: str = Field(examples=["ids are matched letter for letter"])
    request_id: str | None = Field(None, description="Id of the request, to be found in the server's log.")


@dataclass(eq=False)
class RequestError(Exception):
    """A request that is refused before it reaches a router.

    Attributes:
        status: HTTP status.
        detail: What was wrong.
        hint: What to do.
        headers: Further headers of the answer.
    """

    status: int
    detail: str
    hint: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def describe(error: Exception) -> RequestError:
    """Return the answer to any error; those that the caller did not cause are logged, and said without paths."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, TwinvecError):
        status = STATUS.get(type(error), 503)
        if status < 500:
            return RequestError(status, error.message, error.hint)
        LOG.error("%s", error)
        return RequestError(status, _without_paths(error.message), _without_paths(error.hint))
    LOG.error("a request failed", exc_info=error)
    if isinstance(error, OSError):
        return RequestError(
            503,
            f"a file of the server cannot be used: {error.strerror or type(error).__name__}",
            "the operator finds it in the server's log, by the request's id",
        )
    if _is_of_the_database(error):
        return RequestError(
            503, "the registry does not answer", "ask again; `twinvec doctor` looks for the fault"
        )
    return RequestError(500, "the server made a mistake", "tell its operator the request's id")


def response(problem: RequestError, request_id: str | None) -> Response:
    """Return the answer to a problem as JSON."""
    body = {
        "detail": valid(problem.detail),
        "hint": valid(problem.hint),
        "request_id": request_id,
    }
    return Response(orjson.dumps(body), problem.status, dict(problem.headers), media_type="application/json")


def install_handlers(app: FastAPI) -> None:
    """Let an application answer refused parameters and unknown routes in this form, too."""

    @app.exception_handler(RequestValidationError)
    async def refused(request: Request, error: RequestValidationError) -> Response:
        return response(RequestError(422, "; ".join(_explain(error)), _hint(error)), _id_of(request))

    @app.exception_handler(HTTPException)
    async def failed(request: Request, error: HTTPException) -> Response:
        headers = tuple((error.headers or {}).items())
        hint = "/openapi.json lists what can be asked" if error.status_code in (404, 405) else ""
        return response(RequestError(error.status_code, str(error.detail), hint, headers), _id_of(request))


def _explain(error: RequestValidationError) -> list[str]:
    """Return a sentence for each of the first problems, without what the caller sent."""
    problems = error.errors()
    told = [_sentence(problem) for problem in problems[:SHOWN]]
    return [*told, *([f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else [])]


def _sentence(problem: Mapping[str, Any]) -> str:
    place = ".".join(str(part)[:80] for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{place}: there is no such parameter"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}"


def _hint(error: RequestValidationError) -> str:
    for problem in error.errors():
        if problem["type"] == "json_invalid":
            return "send a JSON object, encoded as UTF-8"
    return "/docs describes every parameter and its bounds"


def _is_of_the_database(error: Exception) -> bool:
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(error, SQLAlchemyError)


def _without_paths(text: str) -> str:
    return PATH.sub("(a file of the server)", text)


def _id_of(request: Request) -> str | None:
    request_id: str | None = request.scope.get("state", {}).get("request_id")
    return request_id
