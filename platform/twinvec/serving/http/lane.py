"""The short way to answers that most callers ask for, past what the framework does for every request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from twinvec.serving.answering import Question
from twinvec.serving.http.parameters import Questions

PREFIX = "/related/"


@dataclass(frozen=True)
class Route:
    """Path by which metrics and the log know a route."""

    path: str


ROUTE = Route("/related/{product_id:path}")


class Lane:
    """ASGI middleware: answers `GET /related/{id}` whose query string was validated before; passes on all else.

    Args:
        app: Application behind it.
        known: Query strings that were validated, with their questions.
        answer: Answers a question about a product.
    """

    def __init__(
        self,
        app: ASGIApp,
        known: Questions,
        answer: Callable[[Request, str, Question], Awaitable[Response]],
    ) -> None:
        self._app = app
        self._known = known
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        question = None
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"].startswith(PREFIX):
            question = self._known.find(scope["query_string"])
        if question is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = ROUTE
        answer = await self._answer(Request(scope, receive), scope["path"][len(PREFIX) :], question)
        await answer(scope, receive, send)
