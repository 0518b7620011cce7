"""Checks of the conditions of a query: what no product meets is an error, not an empty answer."""

from __future__ import annotations

from twinvec.errors import TwinvecError, suggestion
from twinvec.text import INSTEAD, SEPARATOR, is_valid
from twinvec.vectors.index import Filters, VectorIndex

NAMED = 20
"""Names of a kind that an error lists; of more, it lists none."""


class UnusableFilterError(TwinvecError):
    """A condition that no product can meet: an unknown name, or a price range without a price."""


def check_filters(index: VectorIndex, release: str, filters: Filters | None) -> None:
    """Check that every name in the filters is known, and that the price range is one.

    Args:
        index: Vector index.
        release: Collection, or the alias of one; nothing is checked against an alias that is not there.
        filters: Conditions of a query.

    Raises:
        UnusableFilterError: Naming the first condition that no product meets.
    """
    if filters is None:
        return
    low, high = filters.min_price, filters.max_price
    if low is not None and high is not None and low > high:
        raise UnusableFilterError(
            f"no price is {low:g} or more and {high:g} or less", "exchange the two, or leave one out"
        )
    if low != low or high != high:
        raise UnusableFilterError("a price of the filter is not a number", "give a number, or leave it out")
    if not (filters.category or filters.marketplace) or release not in {
        *index.aliases(),
        *index.collections(),
    }:
        return
    for kind, names in (("category", filters.category), ("marketplace", filters.marketplace)):
        for name in names:
            chosen = Filters(category=(name,)) if kind == "category" else Filters(marketplace=(name,))
            if not is_valid(name) or not index.count(release, chosen):
                known = list(index.values(release, kind, NAMED + 1))
                raise UnusableFilterError(
                    f"no product of {release} is of the {kind} {name!r}", _hint(kind, name, known)
                )


def _hint(kind: str, name: str, known: list[str]) -> str:
    exact = "names are matched letter for letter"
    leaf = name.replace(INSTEAD, SEPARATOR).rpartition(">")[2].strip()
    if kind == "category" and leaf != name:
        return f"{exact}, one level of a path at a time: {leaf!r}"
    return f"{exact}; {suggestion(name, sorted(known))}" if 0 < len(known) <= NAMED else exact
