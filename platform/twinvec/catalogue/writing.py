"""Writing of admitted rows as a snapshot's tables. They are sorted: the same rows make the same tables."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from twinvec.catalogue.snapshot import quoted

# How an admitted row is written: languages in a fixed order, nothing empty.
SELECTED = {
    "products": """
        product_id,
        CASE WHEN len([text FOR text IN map_values(title) IF trim(text) <> '']) > 0
             THEN map_from_entries(list_sort([each FOR each IN map_entries(title) IF trim(each.value) <> '']))
        END AS title,
        [name FOR name IN category IF trim(name) <> ''] AS category,
        price, nullif(currency, '') AS currency, marketplace, nullif(brand, '') AS brand,
        nullif(image, '') AS image""",
    "orders": "order_id, product_id, time",
    "views": "session_id, product_id, time",
    "offers": "seller_id, product_id",
    "listings": """
        item_id, product_id, coalesce(nullif(family_id, ''), product_id) AS family_id, marketplace,
        lower(language) AS language, nullif(trim(title), '') AS title, nullif(trim(description), '') AS description,
        nullif(brand, '') AS brand, nullif(colour, '') AS colour, nullif(size, '') AS size,
        map_from_entries(list_sort([each FOR each IN coalesce(map_entries(attributes), []) IF trim(each.value) <> '']))
            AS attributes,
        price, nullif(currency, '') AS currency, [name FOR name IN category IF trim(name) <> ''] AS category,
        nullif(image, '') AS image""",
    "interactions": "customer_id, product_id, sum(count)::BIGINT AS count",
    "queries": "query_id, trim(text) AS text, locale, split",
    "judgements": "query_id, product_id, locale, label",
    "query_purchases": "query_id, product_id, sum(count)::BIGINT AS count",
}
# Of which a row that comes again is the same fact: it is kept once, with the counts added up.
GROUPED = ("orders", "views", "offers", "interactions", "query_purchases")
# Of these, in which nothing is added up: what comes again is a copy.
DISTINCT = ("orders", "views", "offers")
# Table → column that is unique in it.
KEYS = {"products": "product_id", "listings": "item_id"}
NO_PAIRS = "SELECT NULL::VARCHAR AS source, NULL::VARCHAR AS target, NULL::BIGINT AS count WHERE false"


def write_rows(connection: duckdb.DuckDBPyConnection, table: str, folder: Path) -> int:
    """Write a table of `SELECTED` from its admitted rows; returns how many there are."""
    order = KEYS.get(table, "ALL")
    group = "GROUP BY ALL" if table in GROUPED else ""
    return _copy(
        connection, f"SELECT {SELECTED[table]} FROM admitted_{table} {group} ORDER BY {order}", table, folder
    )


def write_pairs(
    connection: duckdb.DuckDBPyConnection, table: str, view: str | None, directed: bool, folder: Path
) -> int:
    """Write `copurchase` or `coview` from `view` (none: no pairs); returns how many there are.

    Counts of a pair that comes more than once are added up. If pairs are not `directed`, the two
    directions of a pair are one.
    """
    ends = "source, target" if directed else "least(source, target), greatest(source, target)"
    query = f"SELECT {ends}, sum(count)::BIGINT FROM {view or f'({NO_PAIRS})'} GROUP BY 1, 2"
    return _copy(
        connection, f"FROM ({query}) AS pair(source, target, count) ORDER BY source, target", table, folder
    )


def write_mined(connection: duckdb.DuckDBPyConnection, table: str, mined: str, folder: Path) -> int:
    """Write `copurchase` or `coview` as it was mined: each pair once, and sorted; returns how many there are."""
    return _copy(connection, f"FROM {mined}", table, folder)


def write_quarantine(connection: duckdb.DuckDBPyConnection, folder: Path) -> int:
    """Write the rows that did not enter, in the order of the source; returns how many there are."""
    return _copy(connection, 'FROM quarantine ORDER BY "table", line', "quarantine", folder)


def _copy(connection: duckdb.DuckDBPyConnection, query: str, table: str, folder: Path) -> int:
    path = folder / f"{table}.parquet"
    connection.execute(f"COPY ({query}) TO {quoted(path)} (FORMAT parquet, COMPRESSION zstd)")
    return int(pq.read_metadata(path).num_rows)
