"""Order logs: a table of `order_id`, `product_id` and perhaps `time`, from which pairs are mined.

The source is that one file (CSV, gzipped or not, or Parquet), or a folder with `orders.*` and perhaps
`products.*` (`product_id`, `title`, `language`, `category` as `Root > … > Leaf`, `price`, `currency`,
`marketplace`, `brand`, `image`) and `views.*` (`session_id`, `product_id`, `time`). Without `products.*` the
products are those that were ordered, described by what of these columns the order log itself has; in a log of
groceries, say, the item is its own category, and the setting `ingest.columns = {category = "item"}` says so.
"""

from __future__ import annotations

from pathlib import Path

from twinvec.catalogue.loaders import flat
from twinvec.catalogue.loaders.prices import price_of
from twinvec.catalogue.loaders.staging import LoaderContext, StagedTables
from twinvec.errors import CatalogueError

DESCRIBING = ("title", "language", "category", "price", "currency", "marketplace", "brand", "image")
PRODUCTS = flat.Columns(("product_id",), DESCRIBING)
VIEWS = flat.Columns(("session_id", "product_id"), ("time",))
ORDERS = flat.Columns(("order_id", "product_id"), ("time", *DESCRIBING))
SUFFIXES = (".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz")


def load(source: Path, context: LoaderContext) -> StagedTables:
    """Stage the order log, and the products and views beside it.

    Raises:
        CatalogueError: If there is no order log, or a table cannot be read or lacks a column.
    """
    orders = _find(source, "orders") if source.is_dir() else source
    if orders is None:
        raise CatalogueError(
            f"{source} has no orders file",
            f"name a file, or a folder with one of orders{{{','.join(SUFFIXES)}}}",
        )
    log = flat.stage(orders, ORDERS, context)
    queries = {"products": _ordered_products(log), "orders": _events(log, "order_id")}
    if source.is_dir():
        if products := _find(source, "products"):
            queries["products"] = _products(flat.stage(products, PRODUCTS, context))
        if views := _find(source, "views"):
            queries["views"] = _events(flat.stage(views, VIEWS, context), "session_id")
    return StagedTables(queries, directed=False, image_root=str(source if source.is_dir() else source.parent))


def _find(folder: Path, table: str) -> Path | None:
    files = [folder / f"{table}{suffix}" for suffix in SUFFIXES if (folder / f"{table}{suffix}").is_file()]
    if len(files) > 1:
        raise CatalogueError(
            f"{folder} has several {table} files: {', '.join(path.name for path in files)}", "leave one"
        )
    return files[0] if files else None


def _events(staged: str, key: str) -> str:
    # ISO 8601 (UTC if it names no zone), or seconds or milliseconds since 1970, told by their digits.
    time = r"""
        CASE WHEN regexp_full_match(trim(time), '\d{10}') THEN make_timestamptz(time::BIGINT * 1000000)
             WHEN regexp_full_match(trim(time), '\d{13}') THEN make_timestamptz(time::BIGINT * 1000)
             ELSE TRY_CAST(time AS TIMESTAMPTZ) END"""
    return f"""
        SELECT nullif(trim({key}), '') AS {key}, nullif(trim(product_id), '') AS product_id, {time} AS time,
               line, text,
               CASE WHEN reason IS NOT NULL THEN reason
                    WHEN trim(time) <> '' AND {time} IS NULL THEN 'time cannot be read' END AS reason
        FROM {staged}"""


def _products(staged: str) -> str:
    price = price_of("price")
    language = "lower(coalesce(nullif(trim(language), ''), 'und'))"
    return f"""
        SELECT nullif(trim(product_id), '') AS product_id,
               CASE WHEN trim(title) <> '' THEN MAP {{{language}: trim(title)}} END AS title,
               coalesce(list_transform(string_split(category, '>'), lambda name: trim(name)), []) AS category,
               {price} AS price, nullif(trim(currency), '') AS currency,
               coalesce(nullif(trim(marketplace), ''), 'default') AS marketplace,
               nullif(trim(brand), '') AS brand, nullif(trim(image), '') AS image, line, text,
               CASE WHEN reason IS NOT NULL THEN reason
                    WHEN trim(price) <> '' AND {price} IS NULL THEN 'price cannot be read' END AS reason
        FROM {staged}"""


def _ordered_products(log: str) -> str:
    """Return a query of the products, each described by the first usable row of the order log."""
    first = f"""
        SELECT min(line) FROM ({_events(log, "order_id")})
        WHERE reason IS NULL AND order_id IS NOT NULL AND product_id IS NOT NULL GROUP BY product_id"""
    return _products(f"(FROM {log} WHERE line IN ({first}))")
