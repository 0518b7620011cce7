"""Maps as the page asks for them: a description, columns of numbers, and a search in titles and ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from twinvec.serving.explore.opening import Explored
from twinvec.serving.related import UnknownNameError
from twinvec.vectors.maps import FLAGS, GROUPS, NUMBERS, X, Y, roles_of

# Groups that have a colour of their own; the others share one.
NAMED = 10
SHOWN = ("product_id", "title", "category", "image", "price", "marketplace")


@dataclass(frozen=True)
class Column:
    """A column that colours the map.

    Attributes:
        name: Name of the column.
        kind: `group` for numbers of groups, `number`, or `flag` for 0 and 1.
        names: Names of the most frequent groups, the first is number 0.
        groups: Number of groups.
        low, high: 5 % and 95 % of the values of a `number`; None if there are none.
    """

    name: str
    kind: str
    names: tuple[str, ...] = ()
    groups: int = 0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Description:
    """A map.

    Attributes:
        release: Number of the release, as `v7`.
        version: Version whose products are placed.
        token: Text that is another when the map is.
        products: Number of products.
        roles: Vectors that there are places by.
        columns: Columns that colour it.
        images: Number of products with an image.
    """

    release: str
    version: str
    token: str
    products: int
    roles: tuple[str, ...]
    columns: tuple[Column, ...]
    images: int


def describe(explored: Explored) -> Description:
    """Return the description of the map of a release."""
    table = explored.places
    columns = [_group(table, name) for name in GROUPS]
    columns += [_number(table, name) for name in NUMBERS]
    columns += [Column(name, "flag") for name in FLAGS]
    return Description(
        f"v{explored.release.number}",
        explored.release.version.name,
        explored.token,
        table.num_rows,
        tuple(roles_of(table)),
        tuple(columns),
        table.num_rows - table["image"].null_count,
    )


def values(explored: Explored, column: str, first: int, rows: int) -> npt.NDArray[np.float32]:
    """Return a page of a column as numbers, float32 [rows] or fewer at the end; NaN where nothing is known.

    Raises:
        UnknownNameError: If the map has no such column of numbers.
    """
    table = explored.places
    places = [role + end for role in roles_of(table) for end in (X, Y)]
    known = [*places, *GROUPS, *NUMBERS, *FLAGS]
    if column not in known:
        raise UnknownNameError(f"the map has no column {column!r}", f"it has {', '.join(known)}")
    page = table[column].slice(first, rows).combine_chunks()
    if isinstance(page, pa.ChunkedArray):
        return np.zeros(0, np.float32)
    if pa.types.is_dictionary(page.type):
        page = page.indices
    numbers: npt.NDArray[np.float32] = page.cast(pa.float32()).to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(numbers, "<f4")


def briefs(explored: Explored, rows: list[int]) -> list[dict[str, Any]]:
    """Return what a line or a card shows of the products in some rows of the map.

    Raises:
        UnknownNameError: If there is no such row.
    """
    table = explored.places
    wrong = [row for row in rows if not 0 <= row < table.num_rows]
    if wrong:
        raise UnknownNameError(f"the map has no row {wrong[0]}", f"it has {table.num_rows:,} products")
    found = table.select(SHOWN).take(pa.array(rows, pa.int64())).to_pylist()
    return [{"row": row, **each} for row, each in zip(rows, found, strict=True)]


def titles_of(explored: Explored, rows: Sequence[int | None]) -> dict[int | None, str | None]:
    """Return row → title of some rows of the map; None, which is a product that is not there, has none."""
    known = [row for row in dict.fromkeys(rows) if row is not None]
    return {each["row"]: each["title"] for each in briefs(explored, known)} if known else {}


def search(explored: Explored, text: str, k: int) -> list[dict[str, Any]]:
    """Return at most k products whose title has all words of a text, most bought first; one of this id is first."""
    table = explored.places
    (exact,) = explored.rows([text])
    words = text.split()
    found = None
    for word in words:
        has = pc.match_substring(table["title"], word, ignore_case=True)
        found = has if found is None else pc.and_(found, has)
    if found is None:
        return []
    found = pc.or_(pc.fill_null(found, False), pc.starts_with(table["product_id"], text))
    rows = np.flatnonzero(found.to_numpy(zero_copy_only=False))
    popularity = table["popularity"].to_numpy()[rows]
    best = rows[np.argsort(-popularity, kind="stable")[: k + 1]].tolist()
    if exact is not None:
        best = [exact, *(row for row in best if row != exact)]
    return briefs(explored, best[:k])


def _group(table: pa.Table, name: str) -> Column:
    entries = table[name].chunk(0).dictionary.to_pylist() if table.num_rows else []
    return Column(name, "group", tuple(entry or "none" for entry in entries[:NAMED]), len(entries))


def _number(table: pa.Table, name: str) -> Column:
    low, high = pc.quantile(table[name], [0.05, 0.95]).to_pylist() if table.num_rows else (None, None)
    return Column(name, "number", low=low, high=high)
