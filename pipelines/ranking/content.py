"""Content of the products as the features read it: categories, brands, prices, and text vectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.ranking.sparse import FloatArray, IntArray
from twinvec.catalogue.snapshot import Snapshot
from twinvec.stage import Inputs

NONE = -1
# Deeper levels are part of the whole path, which has a number of its own.
LEVELS = 4

# Numbers in place of names, by rank: equal names have equal numbers, and the order does not depend on the rows'.
QUERY = """
    SELECT product_id, marketplace, price,
           CASE WHEN brand IS NULL OR brand = '' THEN -1 ELSE dense_rank() OVER (ORDER BY brand) END AS brand,
           CASE WHEN len(category) = 0 THEN -1 ELSE dense_rank() OVER (ORDER BY category) END AS path,
           {levels}
    FROM products ORDER BY product_id
"""
LEVEL = """
    CASE WHEN len(category) < {level} THEN -1
         ELSE dense_rank() OVER (ORDER BY category[1:{level}]) END AS level_{level}
"""


@dataclass(frozen=True)
class Content:
    """Content of n products, in the order of their ids.

    Attributes:
        levels: Number of the category's path down to each level, −1 below its last, int32 [n, levels].
        path: Number of the whole path, −1 where there is none, int32 [n].
        brand: Number of the brand, −1 where there is none, int32 [n].
        price: Price, NaN where there is none, float32 [n].
        text: Text vectors of length one, zero where there is none, float32 [n, d]; None if no space has them.
    """

    levels: npt.NDArray[np.int32]
    path: npt.NDArray[np.int32]
    brand: npt.NDArray[np.int32]
    price: FloatArray
    text: FloatArray | None

    @cached_property
    def category(self) -> IntArray:
        """Number of the whole path, from 0, products without one included, int64 [n]."""
        return np.unique(self.path, return_inverse=True)[1].ravel().astype(np.int64)


def read_content(inputs: Inputs, product_ids: pa.StringArray) -> tuple[Content, pa.DictionaryArray]:
    """Return the content of the products of a snapshot, and the marketplace of each, dictionary of strings [n].

    Args:
        inputs: Inputs with the snapshot; text vectors are those of `aligned`, or of `text` without it.
        product_ids: Ids of the snapshot's products, sorted.
    """
    text = None
    space = next((space for space in ("aligned", "text") if space in inputs.versions), None)
    if space is not None:
        text = unit(inputs.vectors(space, product_ids.to_pylist()).only())
    return content_of(inputs.snapshot, inputs.settings.ingest.memory_limit, product_ids, text)


def content_of(
    snapshot: Snapshot, memory_limit: str | None, product_ids: pa.StringArray, text: FloatArray | None
) -> tuple[Content, pa.DictionaryArray]:
    """Return the content of the products of a snapshot, with these text vectors, and the marketplace of each.

    Args:
        snapshot: Snapshot.
        memory_limit: Memory of the query.
        product_ids: Ids of the snapshot's products, sorted.
        text: Text vectors of length one, float32 [n, d]; None to do without.
    """
    query = QUERY.format(levels=", ".join(LEVEL.format(level=level + 1) for level in range(LEVELS)))
    with snapshot.connect(memory_limit) as connection:
        table: pa.Table = connection.sql(query).to_arrow_table()
    assert table["product_id"].combine_chunks().equals(product_ids.cast(table["product_id"].type))
    levels = np.stack([_numbers(table, f"level_{level + 1}") for level in range(LEVELS)], axis=1)
    price = table["price"].to_numpy().astype(np.float32)
    price = np.where(price > 0, price, np.nan).astype(np.float32)
    content = Content(levels, _numbers(table, "path"), _numbers(table, "brand"), price, text)
    return content, table["marketplace"].combine_chunks().dictionary_encode()


def unit(vectors: FloatArray) -> FloatArray:
    """Return the vectors with length one; zero vectors stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _numbers(table: pa.Table, name: str) -> npt.NDArray[np.int32]:
    numbers: npt.NDArray[np.int32] = table[name].to_numpy().astype(np.int32)
    return numbers
