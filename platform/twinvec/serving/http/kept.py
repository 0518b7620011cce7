"""Answers as they were sent, kept for those who ask the same again: a release never changes."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

# Of a larger answer, few would fit.
LARGEST = 1 << 16
# What an answer takes beside its bytes: its question, if nobody else asks it, and its place in a dictionary.
OVERHEAD = 2048


class Written(NamedTuple):
    """An answer as JSON, and what metrics count of it."""

    content: bytes
    empty: bool
    fallback: str | None


@dataclass
class KeptAnswers:
    """Answers of a bounded size; all are forgotten when no more would fit.

    What an answer depends on beside the product is its *kind*: release, question, version of the attributes.

    Args:
        limit: Bytes that they take; with 0, none is kept.
    """

    limit: int
    _kinds: dict[Hashable, dict[str, Written]] = field(default_factory=dict, init=False, repr=False)
    _size: int = field(default=0, init=False, repr=False)

    def find(self, kind: Hashable) -> dict[str, Written]:
        """Return the answers of a kind, by product."""
        return self._kinds.get(kind, {})

    def keep(self, kind: Hashable, product_id: str, written: Written) -> None:
        """Keep an answer, if it is not large."""
        size = len(written.content) + OVERHEAD
        if size > min(LARGEST, self.limit):
            return
        if self._size + size > self.limit:
            self._kinds, self._size = {}, 0
        self._kinds.setdefault(kind, {})[product_id] = written
        self._size += size
