"""Amazon's Shopping Queries (ESCI): search queries, and products judged as E, S, C or I for them.

https://github.com/amazon-science/esci-data. The source is a folder with a `*products*` and an `*examples*` file, or one
file with the columns of both; Parquet, or CSV, gzipped or not. A product that is listed for several locales is one
product with titles in several languages. Descriptions and bullet points are not read: the contract has no place for
them.
"""

from __future__ import annotations

from pathlib import Path

from twinvec.catalogue.loaders import flat
from twinvec.catalogue.loaders.staging import LoaderContext, StagedTables
from twinvec.errors import CatalogueError

PRODUCTS = flat.Columns(("product_id", "product_title", "product_locale"), ("product_brand",))
EXAMPLES = flat.Columns(
    ("query", "query_id", "product_id", "product_locale", "esci_label"),
    ("small_version", "large_version", "split"),
)
JOINED = flat.Columns((*EXAMPLES.required, "product_title"), (*EXAMPLES.optional, "product_brand"))
SUFFIXES = (".parquet", ".csv", ".csv.gz")
# Language of a locale's titles; `und`, unknown, for others.
LANGUAGES = {"us": "en", "es": "es", "jp": "ja"}


def load_large(source: Path, context: LoaderContext) -> StagedTables:
    """Stage the larger version: the examples with `large_version` 1, or all where the column is missing.

    Raises:
        CatalogueError: If a file is missing, cannot be read or lacks a column.
    """
    return _load(source, context, "large_version")


def load_small(source: Path, context: LoaderContext) -> StagedTables:
    """Stage the reduced version: the examples with `small_version` 1, or all where the column is missing.

    Raises:
        CatalogueError: If a file is missing, cannot be read or lacks a column.
    """
    return _load(source, context, "small_version")


def _load(source: Path, context: LoaderContext, version: str) -> StagedTables:
    if source.is_dir():
        products = flat.stage(_find(source, "products"), PRODUCTS, context)
        examples = flat.stage(_find(source, "examples"), EXAMPLES, context)
    else:
        products = examples = flat.stage(source, JOINED, context)
    return StagedTables(
        {
            "products": _products(products),
            "queries": _queries(examples, version),
            "judgements": _judgements(examples, version),
        },
        directed=False,
    )


def _find(folder: Path, table: str) -> Path:
    files = [path for path in sorted(folder.iterdir()) if table in path.name and path.name.endswith(SUFFIXES)]
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise CatalogueError(
            f"{folder} has {len(files)} files of {table}: {names}",
            f"name a folder with one file whose name holds `{table}` and ends with {', '.join(SUFFIXES)}",
        )
    return files[0]


def _products(staged: str) -> str:
    """Return a query with a row for each product: a title for each language, the locale and brand of the first row."""
    languages = " ".join(f"WHEN '{locale}' THEN '{language}'" for locale, language in LANGUAGES.items())
    language = f"CASE lower(trim(product_locale)) {languages} ELSE 'und' END"
    return f"""
        SELECT product_id, map_from_entries(list_sort(list(title) FILTER (title.value IS NOT NULL))) AS title,
               []::VARCHAR[] AS category, NULL::DOUBLE AS price, NULL::VARCHAR AS currency,
               arg_min(locale, line) AS marketplace, arg_min(brand, line) AS brand, NULL::VARCHAR AS image,
               min(line) AS line, arg_min(text, line) AS text, NULL::VARCHAR AS reason
        FROM (
            SELECT nullif(trim(product_id), '') AS product_id,
                   {{key: {language}, value: arg_min(nullif(trim(product_title), ''), line)}} AS title,
                   arg_min(lower(trim(product_locale)), line) AS locale,
                   arg_min(nullif(trim(product_brand), ''), line) AS brand,
                   min(line) AS line, arg_min(text, line) AS text
            FROM {staged} WHERE reason IS NULL GROUP BY nullif(trim(product_id), ''), {language}
        ) GROUP BY product_id
        UNION ALL
        SELECT NULL, NULL, []::VARCHAR[], NULL, NULL, NULL, NULL, NULL, line, text, reason
        FROM {staged} WHERE reason IS NOT NULL"""


def _examples(staged: str, version: str) -> str:
    """Return a query of the examples of one version, and of the rows that could not be read."""
    return f"""
        SELECT nullif(trim(query_id), '') AS query_id, nullif(trim(query), '') AS query,
               nullif(trim(product_id), '') AS product_id, lower(nullif(trim(product_locale), '')) AS locale,
               upper(left(trim(esci_label), 1)) AS label, lower(nullif(trim(split), '')) AS split,
               line, text, reason
        FROM {staged} WHERE reason IS NOT NULL OR coalesce(TRY_CAST({version} AS DOUBLE), 1) = 1"""


def _queries(staged: str, version: str) -> str:
    # A row for each combination: of one id with two texts, the contract refuses the later one and counts it.
    return f"""
        SELECT query_id, query AS text, locale, split, min(line) AS line, NULL::VARCHAR AS reason
        FROM ({_examples(staged, version)}) WHERE reason IS NULL GROUP BY query_id, query, locale, split"""


def _judgements(staged: str, version: str) -> str:
    return (
        f"SELECT query_id, product_id, locale, label, line, text, reason FROM ({_examples(staged, version)})"
    )
