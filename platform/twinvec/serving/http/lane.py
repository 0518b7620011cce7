"""The short way to answers that most callers ask for, past what the framework does for every request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from twinvec.serving.answering import Question
from twinvec.serving.http.guard import given
from twinvec.serving.http.parameters import Questions

PREFIX = "/related/"
JSON = (b"content-type", b"application/json")


@dataclass(frozen=True)
class Route:
    """Path by which metrics and the log know a route."""

    path: str


ROUTE = Route("/related/{product_id:path}")


@dataclass(frozen=True)
class Post:
    """Answers to questions in bodies.

    Attributes:
        body: Validates a body.
        answer: Answers a request with a body, and the question of its query string.
    """

    body: type[BaseModel]
    answer: Callable[[Request, Any, Question], Awaitable[Response]]


class Lane:
    """ASGI middleware: answers requests whose query string was validated before; passes on all else.

    Args:
        app: Application behind it.
        known: Query strings that were validated, with their questions.
        answer: Answers a question about a product, `GET /related/{id}`.
        posts: Path → what answers a POST of JSON to it.
    """

    def __init__(
        self,
        app: ASGIApp,
        known: Questions,
        answer: Callable[[Request, str, Question], Awaitable[Response]],
        posts: Mapping[str, Post],
    ) -> None:
        self._app = app
        self._known = known
        self._answer = answer
        self._posts = posts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        question = self._known.find(scope["query_string"]) if scope["type"] == "http" else None
        response, path = None, scope.get("path", "")
        if question is None:
            pass
        elif scope["method"] == "GET" and path.startswith(PREFIX):
            scope["route"] = ROUTE
            response = await self._answer(Request(scope, receive), path[len(PREFIX) :], question)
        elif scope["method"] == "POST" and path in self._posts and JSON in scope["headers"]:
            message, post = await receive(), self._posts[path]  # the guard has read all of it
            receive = given(message, receive)
            try:
                body = post.body.model_validate(orjson.loads(message.get("body", b"")))
            except ValueError:
                pass  # the framework says what is wrong with it
            else:
                scope["route"] = Route(path)
                response = await post.answer(Request(scope, receive), body, question)
        await (response or self._app)(scope, receive, send)
