"""Answers from lists as JSON: the bytes that orjson writes of `Related`, put together of those of its products."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from twinvec.serving.listed import Entries, Listed

HIT = b'{"score":%b,"product":%b,"reasons":null,"listed":true,"pinned":false}'
ANSWER = b'{"release":%b,"product":%b,"hits":[%b],"ranked":%d,"fallback":null}'


def write_hits(entries: Entries) -> list[bytes]:
    """Return each entry as a hit."""
    if not entries.scores:
        return []
    numbers = orjson.dumps(entries.scores)[1:-1].split(b",")
    return [HIT % (number, each.content) for number, each in zip(numbers, entries.products, strict=True)]


def write_answer(release: str, asked: Listed, hits: Sequence[bytes]) -> bytes:
    """Return an answer of hits from a list."""
    return ANSWER % (orjson.dumps(release), asked.content, b",".join(hits), len(hits))
