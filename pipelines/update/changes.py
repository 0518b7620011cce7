"""Changes from one snapshot to a later one, by joins in DuckDB within its memory limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb

from pipelines.category.npmi import category_expression
from pipelines.image.addresses import CHAIN, SCHEME
from pipelines.text.texts import TEXT_SQL
from twinvec.catalogue.snapshot import Snapshot, quoted
from twinvec.columns import PRODUCTS

COLUMNS = [name for name in PRODUCTS.names if name != "product_id"]
# Products whose text is what it was. Within the subquery, `products` is the table of before.
SAME_TEXT = f"""
    SELECT product_id FROM ({TEXT_SQL}) SEMI JOIN (WITH products AS (FROM before) {TEXT_SQL})
    USING (product_id, text)
"""
LAST_LINK = f"split_part(image, '{CHAIN}', -1)"
SAME_IMAGE = "SELECT product_id FROM products SEMI JOIN before USING (product_id, image)"
# Where relative paths start elsewhere, they name other files.
SAME_ABSOLUTE_IMAGE = f"{SAME_IMAGE} WHERE starts_with({LAST_LINK}, '/') OR contains({LAST_LINK}, '{SCHEME}')"


@dataclass(frozen=True)
class Changes:
    """Products and pairs of a snapshot beside those of an earlier one.

    Attributes:
        new, changed, unchanged, delisted: Products; `changed` in any column.
        new_category: Products of a category that no product had.
        new_pairs, gone_pairs: Pairs bought or viewed together that were not observed before, or are not any more.
        pairs: Observed pairs of the later snapshot.
    """

    new: int
    changed: int
    unchanged: int
    delisted: int
    new_category: int
    new_pairs: int
    gone_pairs: int
    pairs: int


@contextmanager
def side_by_side(before: Snapshot, after: Snapshot, memory_limit: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with the tables of `after`, the products of `before`, and `pairs_before` and `pairs`."""
    with after.connect(memory_limit) as connection:
        connection.execute(f"CREATE VIEW before AS FROM read_parquet({quoted(before.table('products'))})")
        for name, snapshot in (("pairs_before", before), ("pairs", after)):
            parts = " UNION ALL ".join(
                f"SELECT '{kind}' AS kind, source, target FROM read_parquet({quoted(snapshot.table(kind))})"
                for kind in ("copurchase", "coview")
            )
            connection.execute(f"CREATE VIEW {name} AS {parts}")
        yield connection


def find_changes(before: Snapshot, after: Snapshot, level: int, memory_limit: str) -> Changes:
    """Count them.

    Args:
        before, after: Snapshots.
        level: Category levels that make a category, as `category.level`.
        memory_limit: DuckDB's; beyond it, disk is used.
    """
    same = " AND ".join(f"n.{name} IS NOT DISTINCT FROM o.{name}" for name in COLUMNS)
    category = category_expression(level)
    with side_by_side(before, after, memory_limit) as connection:
        (row,) = connection.execute(
            f"""
            SELECT (SELECT count(*) FROM products ANTI JOIN before USING (product_id)),
                   (SELECT count(*) FROM products n JOIN before o USING (product_id) WHERE NOT ({same})),
                   (SELECT count(*) FROM products n JOIN before o USING (product_id) WHERE {same}),
                   (SELECT count(*) FROM before ANTI JOIN products USING (product_id)),
                   (SELECT count(*) FROM (SELECT {category} AS name FROM products)
                    WHERE name NOT IN (SELECT {category} AS name FROM before WHERE len(category) > 0)),
                   (SELECT count(*) FROM pairs ANTI JOIN pairs_before USING (kind, source, target)),
                   (SELECT count(*) FROM pairs_before ANTI JOIN pairs USING (kind, source, target)),
                   (SELECT count(*) FROM pairs)
            """
        ).fetchall()
    return Changes(*row)


def same_images(before: Snapshot, after: Snapshot) -> str:
    """Return SQL for the products whose image is at the same address as before."""
    return SAME_IMAGE if before.image_root == after.image_root else SAME_ABSOLUTE_IMAGE
