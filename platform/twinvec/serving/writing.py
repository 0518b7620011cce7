"""Answers from lists as JSON: the bytes that orjson writes of `Related`, put together of those of its products."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from twinvec.serving.listed import Entries, Listed

# Parts are joined: formatting bytes takes twice as long.
SCORE, PRODUCT, REST = b'{"score":', b',"product":', b',"reasons":null,"listed":true,"pinned":false}'
RELEASE, HITS, RANKED = b'{"release":', b',"hits":[', b'],"ranked":%d,"fallback":null}'


def write_hits(entries: Entries) -> list[bytes]:
    """Return each entry as a hit."""
    if not entries.scores:
        return []
    numbers = orjson.dumps(entries.scores)[1:-1].split(b",")
    return [
        b"".join((SCORE, number, PRODUCT, each.content, REST))
        for number, each in zip(numbers, entries.products, strict=True)
    ]


def write_answer(release: str, asked: Listed, hits: Sequence[bytes]) -> bytes:
    """Return an answer of hits from a list."""
    name, ranked = orjson.dumps(release), RANKED % len(hits)
    return b"".join((RELEASE, name, PRODUCT, asked.content, HITS, b",".join(hits), ranked))
