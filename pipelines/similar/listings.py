"""Listings of a snapshot: their texts, and the groups that they belong to at each level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import CatalogueError
from twinvec.metrics.graded import Groups
from twinvec.settings import Settings

Ints = npt.NDArray[np.int64]
# Each value with the name of its attribute after it (appendix A).
WORDS_SQL = {
    "title": "title || ' title'",
    "description": "left(description, 400) || ' description'",
    "attributes": """
        concat_ws('. ', brand || ' brand', colour || ' colour', size || ' size',
                  nullif(array_to_string(
                      [each.value || ' ' || each.key FOR each IN map_entries(attributes)], '. '), ''))
    """,
}


@dataclass(frozen=True)
class Labels:
    """Groups of n listings, in the order of their ids.

    Attributes:
        items: Ids, strings [n].
        levels: Level → number of the group of each listing, int32 [n]; groups of a level lie within one of the next.
        marketplace, language: Strings [n], as dictionaries.
        share: Level → number from 0 to 1 that the group's id and the seed decide, by which groups are held out; of
            products and families, float64 [n].
        bare: Whether a listing has neither brand, colour, size nor further attributes, bool [n].
    """

    items: pa.Array
    levels: Mapping[str, Groups]
    marketplace: pa.DictionaryArray
    language: pa.DictionaryArray
    share: Mapping[str, npt.NDArray[np.float64]]
    bare: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.items)

    def matrix(self, names: Sequence[str]) -> Groups:
        """Return the groups at some levels, int32 [n, levels]."""
        return np.stack([self.levels[name] for name in names], axis=1)


def read_labels(snapshot: Snapshot, seed: int, memory_limit: str | None = None) -> Labels:
    """Read the groups of all listings.

    A category is that of the family's first listing; without one, the family is a category of its own.

    Args:
        snapshot: Snapshot.
        seed: Seed of what is held out.
        memory_limit: DuckDB's memory limit; beyond it, disk is used.
    """
    query = """
        SELECT item_id, marketplace, language,
               (dense_rank() OVER (ORDER BY product_id) - 1)::INTEGER AS product,
               (dense_rank() OVER (ORDER BY family_id) - 1)::INTEGER AS family,
               (dense_rank() OVER (ORDER BY path) - 1)::INTEGER AS category,
               md5_number_lower(concat(product_id, ' ', $seed))::DOUBLE / 18446744073709551616 AS product_share,
               md5_number_lower(concat(family_id, ' ', $seed))::DOUBLE / 18446744073709551616 AS family_share,
               coalesce(brand, colour, size) IS NULL AND cardinality(attributes) = 0 AS bare
        FROM (
            SELECT *, first_value(coalesce(nullif(array_to_string(category, ' > '), ''), chr(0) || family_id))
                      OVER (PARTITION BY family_id ORDER BY item_id) AS path
            FROM listings
        ) ORDER BY item_id
    """
    with snapshot.connect(memory_limit) as connection:
        table = connection.sql(query, params={"seed": str(seed)}).to_arrow_table()
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    del table
    return Labels(
        columns["item_id"],
        {name: columns[name].to_numpy() for name in ("product", "family", "category")},
        columns["marketplace"].dictionary_encode(),
        columns["language"].dictionary_encode(),
        {name: columns[f"{name}_share"].to_numpy() for name in ("product", "family")},
        columns["bare"].to_numpy(zero_copy_only=False),
    )


def text_sql(words: Sequence[str]) -> str:
    """Return SQL of a listing's text, null if it says nothing."""
    return f"nullif(concat_ws('. ', {', '.join(WORDS_SQL[word] for word in words)}), '')"


def read_texts(
    snapshot: Snapshot, words: Sequence[str], chunk: int, memory_limit: str | None = None
) -> Iterator[pa.Array]:
    """Yield the texts of all listings in the order of their ids, strings, null where a listing says nothing.

    They are sorted within DuckDB's `memory_limit`; beyond it, disk is used.
    """
    with snapshot.connect(memory_limit) as connection:
        rows = connection.sql(f"SELECT {text_sql(words)} AS text FROM listings ORDER BY item_id")
        for batch in rows.to_arrow_reader(chunk):
            yield batch["text"]


def text_of(words: Sequence[str], listing: Mapping[str, object]) -> str | None:
    """Return the text of one listing, given as a row of `listings`, as that of all is made."""
    row = pa.Table.from_pylist([dict(listing)], LISTED)  # noqa: F841 - DuckDB reads it by name
    with duckdb.connect() as connection:
        ((text,),) = connection.sql(f"SELECT {text_sql(words)} FROM row").fetchall()
    return None if text is None else str(text)


# Columns of a listing that is not in the catalogue.
LISTED = pa.schema(
    [
        *((name, pa.string()) for name in ("title", "description", "brand", "colour", "size")),
        ("attributes", pa.map_(pa.string(), pa.string())),
    ]
)


def reason_to_skip(snapshot: Snapshot, settings: Settings) -> str | None:
    """Return why there is nothing to learn from, or None."""
    with snapshot.connect(settings.ingest.memory_limit) as connection:
        families, same = connection.execute(
            """SELECT count(DISTINCT family_id),
                      count(*) > count(DISTINCT product_id) OR count(DISTINCT product_id) > count(DISTINCT family_id)
               FROM listings"""
        ).fetchall()[0]
    if families < 2:
        return f"its listings are of {families} family, and there is nothing to tell apart"
    return None if same else "no product has a second listing or a family"


def require_levels(labels: Labels, snapshot_id: str) -> None:
    """Raise if no listing has another of its product or family.

    Raises:
        CatalogueError: If so.
    """
    if len(np.unique(labels.levels["family"])) in (1, len(labels)):
        raise CatalogueError(
            f"the listings of snapshot {snapshot_id} have no groups to learn from",
            "ingest listings of several families, with more than one listing in some",
        )
