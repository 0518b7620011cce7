"""The edition of Amazon's metadata that a source is of, told from its keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twinvec.catalogue.loaders import amazon_rows
from twinvec.errors import CatalogueError

# Keys that one edition has and the others have not.
KEYS = {
    "amazon-2014": frozenset(("imUrl", "related", "salesRank")),
    "amazon-2018": frozenset(
        ("also_buy", "also_view", "imageURL", "imageURLHighRes", "main_cat", "tech1", "similar_item", "rank")
    ),
    "amazon-2023": frozenset(
        ("parent_asin", "main_category", "rating_number", "average_rating", "videos", "store")
    ),
}
# Rows that are looked at, and other keys than known ones that are remembered.
LOOKED_AT, REMEMBERED = 1_000, 1_000


class Editions:
    """Counts of rows whose keys speak for an edition, and of keys that nothing was read from.

    Args:
        source: File or folder, for messages.
        named: Edition that the user named.
    """

    def __init__(self, source: Path, named: str) -> None:
        self._source, self._named = source, named
        self._votes: Counter[str] = Counter()
        self._keys: Counter[str] = Counter()
        self._seen = 0

    def see(self, row: dict[str, Any] | None, text: str) -> None:
        """Look at the next row; at its text if it could not be read in the edition that was named.

        Raises:
            CatalogueError: After `LOOKED_AT` rows, if they are of another edition.
        """
        self._seen += 1
        if self._seen <= LOOKED_AT:
            looked = row if row is not None else amazon_rows.parse(text, literal=True)[0]
            votes = {edition: len(keys & looked.keys()) for edition, keys in KEYS.items()} if looked else {}
            if votes and max(votes.values()):
                self._votes[max(votes, key=lambda edition: votes[edition])] += 1
            if self._seen == LOOKED_AT:
                self.check()
        if row is not None and (self._seen % 97 == 0 or self._seen <= LOOKED_AT):
            self._keys.update(key for key in row if key in self._keys or len(self._keys) < REMEMBERED)

    def told(self) -> str | None:
        """Return the edition that most rows speak for, or None if none has a key that tells."""
        return self._votes.most_common(1)[0][0] if self._votes else None

    def check(self) -> None:
        """Raise if most rows that tell their edition are of another one than was named.

        Raises:
            CatalogueError: Naming the edition and the format to use.
        """
        told = self.told()
        if told is None or told == self._named or 2 * self._votes[told] <= self._votes.total():
            return
        raise CatalogueError(
            f"{self._source} looks like {told}, not {self._named}: {self._votes[told]:,} of {self._votes.total():,} "
            "rows have its keys",
            f"use --format {told}",
        )

    def unread(self, read: Iterable[str]) -> tuple[str, ...]:
        """Return the keys that nothing was read from, the most frequent first."""
        known = set(read)
        return tuple(key for key, _ in self._keys.most_common() if key not in known)
