"""The guard: what every request passes before it reaches a router, and every answer on its way back.

A request gets an id, shows its key, is counted, and has its body read within bounds of size and time. HEAD is answered
as GET without the body. Whatever fails becomes JSON here.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twinvec.serving.http.errors import RequestError, describe, response
from twinvec.serving.http.keys import ANONYMOUS, Caller, Keys
from twinvec.serving.http.limits import Limiter
from twinvec.settings.serving import LimitSettings

REQUEST_ID = re.compile(r"[\w\-.]{8,64}", re.ASCII)
# Asked by balancers and containers, which have no key, and must not wait behind callers.
OPEN = frozenset({"/health", "/ready"})
# The page and its scripts hold no data; what they ask for needs a key.
PAGE, ASSETS = "/explore", "/explore/assets/"
OPERATORS = frozenset({"/metrics"})
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True)
class Served:
    """One request that was answered.

    Attributes:
        request_id: Id of the request, which the answer carries.
        method, path: As asked.
        route: Path of the router, `/related/{product_id}`; empty if none took it.
        status: HTTP status.
        seconds: Seconds until the answer was sent.
        caller: Name of the key.
        release: Collection that answered, if one did.
        arm: Arm of the experiment, if there is one.
    """

    request_id: str
    method: str
    path: str
    route: str
    status: int
    seconds: float
    caller: str
    release: str | None
    arm: str | None


class Guard:
    """ASGI middleware; see the module.

    Args:
        app: Application behind it.
        keys: Keys of callers.
        limits: Limits of requests.
        images: Paths whose body may hold an image.
        observe: Called with each request once it is answered.
        announce: Called with the state of each request as its answer begins.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys,
        limits: LimitSettings,
        images: Collection[str] = (),
        observe: Callable[[Served], None] = lambda _served: None,
        announce: Callable[[Mapping[str, Any]], None] = lambda _state: None,
    ) -> None:
        self._app = app
        self._keys = keys
        self._limits = limits
        self._limiter = Limiter(limits.rate, limits.concurrency)
        self._images = frozenset(images)
        self._observe = observe
        self._announce = announce

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        method = scope["method"]
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        state = {**scope.get("state", {}), "request_id": _request_id(headers)}
        asked = {**scope, "method": "GET" if method == "HEAD" else method, "state": state}
        reply = _Reply(send, state, self._announce, without_body=method == "HEAD")
        caller = ANONYMOUS
        try:
            if is_open(asked["path"]):
                await self._app(asked, receive, reply)
            else:
                caller = self._admit(asked["path"], headers)
                state["caller"] = caller.name
                with self._limiter.admitted(caller.name):
                    await self._app(asked, await self._read(asked, headers, receive), reply)
        except Exception as error:
            problem = describe(error)
            if not reply.status:
                await response(problem, state["request_id"])(asked, receive, reply)
        finally:
            route = getattr(asked.get("route"), "path", "")
            seconds = time.perf_counter() - started
            release, arm = state.get("release"), state.get("arm")
            self._observe(
                Served(
                    state["request_id"],
                    method,
                    asked["path"],
                    route,
                    reply.status,
                    seconds,
                    caller.name,
                    release,
                    arm,
                )
            )

    def _admit(self, path: str, headers: dict[bytes, str]) -> Caller:
        if not self._keys.required:
            return ANONYMOUS
        kind, _, presented = headers.get(b"authorization", "").partition(" ")
        key = headers.get(b"x-api-key") or (presented.strip() if kind.lower() == "bearer" else "")
        caller = self._keys.find(key) if key else None
        if caller is None:
            raise RequestError(
                401,
                "this key is not known" if key else "the request has no key",
                "send `Authorization: Bearer KEY`; `twinvec keys new NAME` makes one",
                (("www-authenticate", "Bearer"),),
            )
        if path in OPERATORS and caller.scope != "operator":
            raise RequestError(
                403, f"the key {caller.name!r} is of scope {caller.scope}", "ask with an operator's key"
            )
        return caller

    async def _read(self, scope: Scope, headers: dict[bytes, str], receive: Receive) -> Receive:
        """Read the whole body, and return what gives it to the application."""
        if scope["method"] not in WITH_BODY:
            return receive
        most = self._limits.body + (self._limits.image * 4 // 3 if scope["path"] in self._images else 0)
        announced = headers.get(b"content-length", "0")
        if announced.isdecimal() and int(announced) > most:
            raise _too_large(most)
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.read_timeout):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return given(message)
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > most:
                        raise _too_large(most)
        except TimeoutError as error:
            raise RequestError(
                408,
                f"the body did not arrive in {self._limits.read_timeout:g} s",
                "send it at once",
                (("connection", "close"),),
            ) from error
        return given({"type": "http.request", "body": bytes(body), "more_body": False}, receive)


class _Reply:
    """Sends an answer with the request's id, and remembers its status."""

    def __init__(
        self,
        send: Send,
        state: Mapping[str, Any],
        announce: Callable[[Mapping[str, Any]], None],
        *,
        without_body: bool,
    ) -> None:
        self.status = 0
        self._send = send
        self._state = state
        self._announce = announce
        self._header = (b"x-request-id", state["request_id"].encode("ascii"))
        self._without_body = without_body

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._announce(self._state)
            message = {**message, "headers": [*message.get("headers", ()), self._header]}
        elif self._without_body:
            message = {**message, "body": b""}
        await self._send(message)


def is_open(path: str) -> bool:
    """Return whether a path is answered without a key."""
    return path in OPEN or path == PAGE or path.startswith(ASSETS)


def given(first: Message, then: Receive | None = None) -> Receive:
    """Return a `receive` that gives one message, then those of another."""
    messages = [first]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        return await then() if then is not None else first

    return receive


def _request_id(headers: dict[bytes, str]) -> str:
    """Return the caller's id of the request if it is one, else a new one."""
    given = headers.get(b"x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def _too_large(most: int) -> RequestError:
    return RequestError(
        413,
        f"the body has more than {most:,} bytes",
        "send less; the operator sets serving.limits",
        (("connection", "close"),),
    )
