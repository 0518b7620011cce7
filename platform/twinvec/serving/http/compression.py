"""Compression of answers for callers who take gzip."""

from __future__ import annotations

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Message, Receive, Scope, Send

# A cache must not give a packed answer to a caller who takes none.
VARY = (b"vary", b"Accept-Encoding")


class Compression(GZipMiddleware):
    """Starlette's, without a way through its classes for callers who take no gzip."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and not any(
            name == b"accept-encoding" and b"gzip" in value for name, value in scope["headers"]
        ):

            async def marked(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message = {**message, "headers": [*message.get("headers", ()), VARY]}
                await send(message)

            await self.app(scope, receive, marked)
            return
        await super().__call__(scope, receive, send)
