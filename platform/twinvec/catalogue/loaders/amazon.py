"""Amazon product metadata of 2014, 2018 (McAuley, Ni) and 2023 (Hou), one product a line, plain or gzipped.

All three become the same products: title in English, marketplace `us`, prices in USD, the first of the
category paths. Lists of related products become directed pairs, from the product to the one listed.
"""

from __future__ import annotations

import ast
import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from twinvec.catalogue.loaders.prices import price_of
from twinvec.catalogue.loaders.staging import (
    PROVENANCE,
    TEXT_LENGTH,
    LoaderContext,
    StagedTables,
    StagingFile,
)
from twinvec.catalogue.loaders.text import read_lines
from twinvec.catalogue.snapshot import quoted

SCHEMA = pa.schema(
    [
        pa.field("product_id", pa.string()),
        pa.field("title", pa.string()),
        pa.field("category", pa.list_(pa.string())),
        pa.field("price", pa.string()),
        pa.field("brand", pa.string()),
        pa.field("image", pa.string()),
        pa.field("copurchase", pa.list_(pa.string())),
        pa.field("coview", pa.list_(pa.string())),
        *PROVENANCE,
    ]
)
BLANK = (None,) * (len(SCHEMA) - len(PROVENANCE))
Fields = tuple[Any, ...]


def load_2014(source: Path, context: LoaderContext) -> StagedTables:
    """Stage Python literals, one a line, with the pairs of four lists of related products.

    Co-purchases are `also_bought` and `bought_together`; co-views `also_viewed` and `buy_after_viewing`.
    """
    return _load(source, context, ast.literal_eval, "not a Python literal", _fields_2014)


def load_2018(source: Path, context: LoaderContext) -> StagedTables:
    """Stage JSON objects, one a line, with the pairs of `also_buy` and `also_view`."""
    return _load(source, context, json.loads, "not JSON", _fields_2018)


def load_2023(source: Path, context: LoaderContext) -> StagedTables:
    """Stage JSON objects, one a line and `parent_asin`, with the pairs of `bought_together`, mostly empty."""
    return _load(source, context, json.loads, "not JSON", _fields_2023)


def _fields_2014(row: dict[str, Any]) -> Fields:
    related = row.get("related")
    related = related if isinstance(related, dict) else {}
    paths = row.get("categories")
    return (
        _text(row.get("asin")),
        _text(row.get("title")),
        _path(paths[0] if isinstance(paths, list) and paths else None),
        _text(row.get("price")),
        _text(row.get("brand")),
        _text(row.get("imUrl")),
        _ids(related.get("also_bought")) + _ids(related.get("bought_together")),
        _ids(related.get("also_viewed")) + _ids(related.get("buy_after_viewing")),
    )


def _fields_2018(row: dict[str, Any]) -> Fields:
    title = _text(row.get("title"))
    images = row.get("imageURLHighRes") or row.get("imageURL")
    return (
        _text(row.get("asin")),
        # Some titles of this edition are pieces of the page's script.
        None if title and "getTime" in title else title,
        _path(row.get("category")),
        _text(row.get("price")),
        _text(row.get("brand")),
        _text(images[0]) if isinstance(images, list) and images else _text(images),
        _ids(row.get("also_buy")),
        _ids(row.get("also_view")),
    )


def _fields_2023(row: dict[str, Any]) -> Fields:
    images = row.get("images")
    first = images[0] if isinstance(images, list) and images and isinstance(images[0], dict) else {}
    return (
        _text(row.get("parent_asin")),
        _text(row.get("title")),
        _path(row.get("categories")),
        _text(row.get("price")),
        _text(row.get("store")),
        _text(first.get("hi_res") or first.get("large") or first.get("thumb")),
        _ids(row.get("bought_together")),
        [],
    )


def _text(value: object) -> str | None:
    """Return `value` as one line of text without HTML entities; None if it is empty or not plain."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = " ".join(html.unescape(str(value)).split())
    # A half of a surrogate pair can be written in a literal but not in UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8") or None


def _path(value: object) -> list[str]:
    names = [_text(name) for name in value] if isinstance(value, list) else []
    return [name for name in names if name and not name.startswith("</")]


def _ids(value: object) -> list[str]:
    """Return the distinct ids of a list, in its order; anything else is no list."""
    ids = [_text(item) for item in value] if isinstance(value, list) else []
    return list(dict.fromkeys(item for item in ids if item))


def _load(
    source: Path,
    context: LoaderContext,
    parse: Callable[[str], object],
    complaint: str,
    fields: Callable[[dict[str, Any]], Fields],
) -> StagedTables:
    path = context.work / "amazon.parquet"
    with StagingFile(path, SCHEMA, context.progress) as staging:
        for number, text, reason in read_lines(source):
            row, reason = (None, reason) if reason else _parse(text, parse, complaint)
            start = text[:TEXT_LENGTH].rstrip()
            staging.append((*(fields(row) if row else BLANK), number, start, reason), len(text))
    return StagedTables(_queries(path), directed=True)


def _parse(
    text: str, parse: Callable[[str], object], complaint: str
) -> tuple[dict[str, Any] | None, str | None]:
    try:
        # A literal must start in the first column: Python reads leading space as a block.
        row = parse(text.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None, complaint
    return (row, None) if isinstance(row, dict) and row else (None, "not an object")


def _queries(path: Path) -> dict[str, str]:
    staged = f"read_parquet({quoted(path)})"

    def pairs(column: str) -> str:
        # Only of the line a product was admitted from: a repeated product's lists would count twice.
        return f"""
            SELECT product_id AS source, unnest({column}) AS target, 1::BIGINT AS count,
                   line, NULL::VARCHAR AS text, NULL::VARCHAR AS reason
            FROM {staged} WHERE line IN (SELECT line FROM known)"""

    products = f"""
        SELECT product_id, CASE WHEN title IS NOT NULL THEN MAP {{'en': title}} END AS title,
               coalesce(category, []) AS category, {price_of("price")} AS price, 'USD' AS currency,
               'us' AS marketplace, brand, image, line, text, reason
        FROM {staged}"""
    return {"products": products, "copurchase": pairs("copurchase"), "coview": pairs("coview")}
