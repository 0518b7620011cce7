"""Files of the page at `/explore`, which lie beside this module."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"
PAGE = "index.html"
TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
# The scatter plot compiles its drawing functions, and keeps its spatial index in a worker.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob: http: https:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Asset:
    """A file of the page.

    Attributes:
        content: Its bytes.
        media_type: Its type.
        etag: Tag that is another when the bytes are.
    """

    content: bytes
    media_type: str
    etag: str


@cache
def asset(name: str) -> Asset | None:
    """Return a file of the page, or None if there is none of this name."""
    if name not in names():
        return None
    content = (STATIC / name).read_bytes()
    digest = hashlib.blake2b(content, digest_size=9).hexdigest()
    return Asset(content, f"{TYPES[Path(name).suffix]}; charset=utf-8", f'"{digest}"')


@cache
def names() -> frozenset[str]:
    """Return the names of the files of the page."""
    return frozenset(file.name for file in STATIC.iterdir() if file.suffix in TYPES)
