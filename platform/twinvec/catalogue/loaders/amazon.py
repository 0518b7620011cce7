"""Amazon product metadata of 2014, 2018 (McAuley, Ni) and 2023 (Hou), one product a line, plain or gzipped.

The source is one file or a folder of part files: JSON lines, an array of JSON, Python literals (2014), or Parquet as
the library `datasets` exports it. All editions become the same products: title in English, marketplace `us`, prices in
USD if they name no other currency, the first of the category paths. Lists of related products become directed pairs,
from the product to the one listed. Keys and shapes of one edition are read in the others too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from twinvec.catalogue.cleaning import text_of
from twinvec.catalogue.loaders import amazon_fields, amazon_rows
from twinvec.catalogue.loaders.amazon_edition import Editions
from twinvec.catalogue.loaders.prices import currency_of, price_of
from twinvec.catalogue.loaders.sources import parts
from twinvec.catalogue.loaders.staging import (
    PROVENANCE,
    TEXT_LENGTH,
    LoaderContext,
    StagedTables,
    StagingFile,
)
from twinvec.catalogue.snapshot import quoted

SCHEMA = pa.schema(
    [
        pa.field("product_id", pa.string()),
        pa.field("family_id", pa.string()),
        pa.field("title", pa.string()),
        pa.field("category", pa.list_(pa.string())),
        pa.field("price", pa.string()),
        pa.field("brand", pa.string()),
        pa.field("image", pa.string()),
        pa.field("copurchase", pa.list_(pa.string())),
        pa.field("coview", pa.list_(pa.string())),
        pa.field("unusable", pa.list_(pa.string())),
        pa.field("digest", pa.int64()),
        *PROVENANCE,
    ]
)
BLANK = (None,) * (len(SCHEMA) - len(PROVENANCE) - 1)


def load_2014(source: Path, context: LoaderContext) -> StagedTables:
    """Stage Python literals or JSON objects, one a line, with the pairs of four lists of related products.

    Co-purchases are `also_bought` and `bought_together`; co-views `also_viewed` and `buy_after_viewing`.
    """
    return _load(source, context, "amazon-2014")


def load_2018(source: Path, context: LoaderContext) -> StagedTables:
    """Stage JSON objects, one a line, with the pairs of `also_buy` and `also_view`."""
    return _load(source, context, "amazon-2018")


def load_2023(source: Path, context: LoaderContext) -> StagedTables:
    """Stage JSON objects, one a line and `parent_asin`, with the pairs of `bought_together`, mostly empty."""
    return _load(source, context, "amazon-2023")


def _load(source: Path, context: LoaderContext, edition: str) -> StagedTables:
    path = context.work / "amazon.parquet"
    editions = Editions(source, edition)
    fields = amazon_fields.reader(edition)
    with StagingFile(path, SCHEMA, context.progress) as staging:
        for number, text, row, reason in _rows(source, edition):
            editions.see(row, text)
            start = text[:TEXT_LENGTH].rstrip()
            if row is None:
                staging.append((*BLANK, hash(text), number, start, reason), len(text))
                continue
            values, refused = fields(row)
            staging.append((*values, hash(text), number, start, refused), len(text))
    editions.check()
    return StagedTables(
        _queries(path, context.options.missing),
        directed=True,
        unread=editions.unread(amazon_fields.READ),
        edition=editions.told(),
        open_pairs=True,
    )


def _rows(source: Path, edition: str) -> Iterator[amazon_rows.Row]:
    """Yield the rows of all parts, numbered on."""
    before = 0
    for path in parts(source):
        number = 0
        for number, text, row, reason in amazon_rows.read(path, edition):
            yield before + number, text, row, reason
        before += number


def _queries(path: Path, missing: list[str]) -> dict[str, str]:
    staged = f"read_parquet({quoted(path)})"

    def pairs(column: str) -> str:
        # Only of the line a product was admitted from: a repeated product's lists would count twice.
        return f"""
            SELECT product_id AS source, unnest({column}) AS target, 1::BIGINT AS count,
                   line, NULL::VARCHAR AS text, NULL::VARCHAR AS reason
            FROM {staged} WHERE line IN (SELECT line FROM known)"""

    products = f"""
        SELECT product_id, CASE WHEN title IS NOT NULL THEN MAP {{'en': title}} END AS title,
               coalesce(category, []) AS category, {price_of("price")} AS price,
               {currency_of("price", "USD")} AS currency,
               'us' AS marketplace, brand, image, nullif(family_id, product_id) AS family_id,
               digest, line, text, reason,
               CASE WHEN {text_of("price", missing)} IS NOT NULL AND {price_of("price")} IS NULL
                    THEN list_append(coalesce(unusable, []), 'price cannot be read')
                    ELSE coalesce(unusable, []) END AS lost
        FROM {staged}"""
    return {"products": products, "copurchase": pairs("copurchase"), "coview": pairs("coview")}
