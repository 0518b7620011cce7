"""Order logs: a table of `order_id`, `product_id` and perhaps `time`, from which pairs are mined.

The source is that one file (CSV, gzipped or not, or Parquet) or a folder of its part files, or a folder with `orders.*`
and perhaps `products.*` (`product_id`, `title`, `language`, `category` as `Root > … > Leaf`, `price`, `currency`,
`marketplace`, `brand`, `image`) and `views.*` (`session_id`, `product_id`, `time`), each a file or a folder of part
files. Without `products.*` the products are those that were ordered, described by the first value that the order log
has for each of these columns; in a log of groceries, say, the item is its own category, and the setting
`ingest.columns = {category = "item"}` says so.

Lines with a negative `quantity` or 0, with a `status` such as `returned`, or of a cancelled order (`C489436` beside
plain numbers) make no pair.
"""

from __future__ import annotations

from pathlib import Path

from twinvec.catalogue.cleaning import text_of
from twinvec.catalogue.contract import RETURN
from twinvec.catalogue.loaders import flat
from twinvec.catalogue.loaders.prices import currency_of, evidence_against, price_of
from twinvec.catalogue.loaders.sources import parts
from twinvec.catalogue.loaders.staging import LoaderContext, StagedTables
from twinvec.catalogue.loaders.times import UNREAD, time_of
from twinvec.catalogue.snapshot import quoted
from twinvec.errors import CatalogueError

DESCRIBING = (
    "title",
    "language",
    "category",
    "price",
    "currency",
    "marketplace",
    "brand",
    "image",
    "family_id",
)
PRODUCTS = flat.Columns(("product_id",), DESCRIBING)
VIEWS = flat.Columns(("session_id", "product_id"), ("time",))
ORDERS = flat.Columns(("order_id", "product_id"), ("time", "quantity", "status", *DESCRIBING))
SUFFIXES = (".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz")
NO_MARKETPLACE = "default"


def load(source: Path, context: LoaderContext) -> StagedTables:
    """Stage the order log, and the products and views beside it.

    Raises:
        CatalogueError: If there is no order log, a table cannot be read or lacks a column, or the settings name a
            column that no file has.
    """
    orders = _find_orders(source)
    tables = flat.Tables()
    log = flat.stage(orders, ORDERS, context, tables)
    numbers = "price" in tables.numbers
    described = log
    queries = {"orders": _events(log, "order_id", context, _returned(log, context))}
    folder = source if orders.parent == source else None
    if products := folder and _find(folder, "products"):
        tables.numbers.clear()
        described = flat.stage(products, PRODUCTS, context, tables)
        numbers = "price" in tables.numbers
        queries["products"] = _products(described, context, numbers)
    else:
        queries["products"] = _ordered_products(_products(log, context, numbers, "order_id"))
    if views := folder and _find(folder, "views"):
        queries["views"] = _events(flat.stage(views, VIEWS, context, tables), "session_id", context)
    tables.check_mapped(source, context.columns)
    return StagedTables(
        queries,
        directed=False,
        image_root=str(source if source.is_dir() else source.parent),
        unread=tables.unread(),
        warnings=(*_likely(tables), *([] if numbers else _decimals(described, context))),
    )


def _find_orders(source: Path) -> Path:
    if not source.is_dir() or (found := _find(source, "orders")) is None:
        if source.is_dir() and not any(path.name.lower().startswith("part-") for path in source.iterdir()):
            raise CatalogueError(
                f"{source} has no orders file",
                f"name a file, or a folder with one of orders{{{','.join(SUFFIXES)}}}, or of part files `part-*`",
            )
        return source
    return found


def _find(folder: Path, table: str) -> Path | None:
    """Return the file or folder of part files of a table, or None."""
    names = [folder / f"{table}{suffix}" for suffix in ("", *SUFFIXES)]
    files = [path for path in names if path.is_file() or (path.is_dir() and parts(path))]
    if len(files) > 1:
        raise CatalogueError(
            f"{folder} has several {table} files: {', '.join(path.name for path in files)}", "leave one"
        )
    return files[0] if files else None


def _returned(log: str, context: LoaderContext) -> str:
    """Return SQL for whether a line is of a cancelled order, or of something that was given back."""
    options = context.options
    words = ", ".join(quoted(word.lower()) for word in options.cancelled) or "NULL"
    conditions = [
        "regexp_matches(quantity, '^\\s*[-−(]')",
        "TRY_CAST(quantity AS DOUBLE) = 0",
        f"lower(trim(status)) IN ({words})",
    ]
    if prefix := options.cancelled_prefix:
        plain = f"SELECT EXISTS (SELECT 1 FROM {log} WHERE regexp_full_match(trim(order_id), '\\d+'))"
        # In a log whose orders all begin with it, it says nothing.
        if context.connection.execute(plain).fetchall()[0][0]:
            number = f"regexp_full_match(substr(trim(order_id), {len(prefix) + 1}), '\\d+')"
            conditions.append(f"(starts_with(trim(order_id), {quoted(prefix)}) AND {number})")
    return " OR ".join(f"coalesce({condition}, false)" for condition in conditions)


def _events(staged: str, key: str, context: LoaderContext, returned: str = "false") -> str:
    missing = context.options.missing
    time, text = time_of("time", context.options.time_formats), f"{text_of('time', missing)} AS time"
    return f"""
        SELECT {key}, product_id, {time} AS time, line, text,
               CASE WHEN reason IS NOT NULL THEN reason WHEN returned THEN '{RETURN}' END AS reason,
               CASE WHEN time IS NOT NULL AND {time} IS NULL THEN ['{UNREAD}'] ELSE [] END AS lost
        FROM (
            SELECT {text_of(key, missing)} AS {key}, {text_of("product_id", missing)} AS product_id, {text},
                   line, text, reason, {returned} AS returned
            FROM {staged}
        )"""


def _products(staged: str, context: LoaderContext, numbers: bool, key: str | None = None) -> str:
    """Return a query of the rows as products, with the column `key` if one is named."""
    missing = context.options.missing
    price = price_of("price", "." if numbers else context.options.decimal)
    texts = ", ".join(
        f"{text_of(name, missing)} AS {name}" for name in ("product_id", *DESCRIBING, *([key] if key else []))
    )
    return f"""
        SELECT product_id,
               CASE WHEN title IS NOT NULL THEN MAP {{lower(coalesce(language, 'und')): title}} END AS title,
               coalesce(list_filter(list_transform(string_split(category, '>'), lambda name: trim(name)),
                                    lambda name: name <> ''), []) AS category,
               {price} AS price, coalesce(currency, {currency_of("price")}) AS currency,
               coalesce(marketplace, '{NO_MARKETPLACE}') AS marketplace, brand, image, family_id,
               {f"{key}, " if key else ""} line, text, reason,
               CASE WHEN price IS NOT NULL AND {price} IS NULL THEN ['price cannot be read'] ELSE [] END AS lost
        FROM (SELECT {texts}, line, text, reason FROM {staged})"""


def _ordered_products(products: str) -> str:
    """Return a query of the ordered products, each column with its first usable value in the log."""
    priced, named = "price >= 0 AND isfinite(price)", f"marketplace <> '{NO_MARKETPLACE}'"

    def first(column: str, condition: str) -> str:
        return f"arg_min({column}, line) FILTER (WHERE {condition})"

    return f"""
        SELECT product_id, {first("title", "title IS NOT NULL")} AS title,
               coalesce({first("category", "len(category) > 0")}, []) AS category,
               {first("price", priced)} AS price,
               coalesce({first("currency", f"currency IS NOT NULL AND {priced}")}, min(currency)) AS currency,
               coalesce({first("marketplace", named)}, '{NO_MARKETPLACE}') AS marketplace,
               {first("brand", "brand IS NOT NULL")} AS brand, {first("image", "image IS NOT NULL")} AS image,
               min(line) AS line, arg_min(text, line) AS text, NULL::VARCHAR AS reason,
               CASE WHEN {first("price", priced)} IS NULL
                    THEN coalesce({first("lost", "len(lost) > 0")}, []) ELSE [] END AS lost
        FROM ({products})
        WHERE reason IS NULL AND order_id IS NOT NULL AND product_id IS NOT NULL GROUP BY product_id"""


def _likely(tables: flat.Tables) -> list[str]:
    """Return a sentence for each of our columns that an unread one may be meant for."""
    read = {name.strip().lower() for name in tables.read}
    return [
        f"nothing was read from the column {name!r}; if it is the {column}, say so: "
        f'[ingest.columns] {column} = "{name}"'
        for column, name in tables.likely().items()
        if column not in read
    ]


def _decimals(staged: str, context: LoaderContext) -> list[str]:
    """Return a sentence if the prices look as if written with the other decimal sign."""
    decimal = context.options.decimal
    query = (
        f"SELECT {evidence_against('price', decimal)}, min(price) FILTER (WHERE price <> '') FROM {staged}"
    )
    against, example = context.connection.execute(query).fetchall()[0]
    if against <= 0:
        return []
    other = "," if decimal == "." else "."
    return [
        f"prices such as {example!r} look as if {other!r} were the sign of their decimals, and were read with "
        f'{decimal!r}; if so, set ingest.decimal = "{other}"'
    ]
