"""Twinvec's own contract: a folder of Parquet files with the columns of `twinvec.columns`.

`products.parquet` is required; any other table of `twinvec.columns.TABLES` may be there, each a file or a folder of
part files. An optional `catalogue.json` says whether co-purchase pairs are directed: `{"copurchase_directed": false}`;
they are if it says nothing. Images with a relative path start at the folder.
"""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pyarrow as pa

from twinvec.catalogue.loaders.sources import parts
from twinvec.catalogue.loaders.staging import LoaderContext, StagedTables
from twinvec.catalogue.snapshot import quoted
from twinvec.columns import TABLES
from twinvec.errors import CatalogueError

DESCRIPTION = "catalogue.json"
INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
TIMES = {"DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"}


def load(source: Path, context: LoaderContext) -> StagedTables:
    """Stage the folder's tables as they are; nothing is copied.

    Raises:
        CatalogueError: If `products.parquet`, or a column that must be there, is missing, a column has a type
            that cannot be read as its own, or a file is damaged.
    """
    if not (source / "products.parquet").exists():
        raise CatalogueError(
            f"{source} has no products.parquet",
            f"name a folder with products.parquet and any of {', '.join([*TABLES][1:])}",
        )
    queries = {}
    unread: list[str] = []
    for table, schema in TABLES.items():
        path = source / f"{table}.parquet"
        if path.exists():
            queries[table] = _query(path, schema, context.connection, unread)
    others = [path.name for path in source.glob("*.parquet") if path.stem not in TABLES]
    directed = "copurchase" in queries and _directed(source)
    return StagedTables(queries, directed, str(source), unread=(*unread, *sorted(others)))


def _directed(source: Path) -> bool:
    path = source / DESCRIPTION
    if not path.exists():
        return True
    hint = 'it may hold {"copurchase_directed": true} or {"copurchase_directed": false}'
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CatalogueError(f"{path} cannot be read: {error}", hint) from error
    match described:
        case {"copurchase_directed": bool(directed), **rest} if not rest:
            return directed
        case {} if not described:
            return True
    raise CatalogueError(f"{path} holds {json.dumps(described)[:200]}", hint)


def _query(table: Path, schema: pa.Schema, connection: duckdb.DuckDBPyConnection, unread: list[str]) -> str:
    """Return a query of a table's file, or of the part files of its folder; note columns that are not read."""
    before, queries = 0, []
    for path in parts(table):
        queries.append(_part(path, schema, connection, before, unread))
        before += connection.execute(f"SELECT count(*) FROM read_parquet({quoted(path)})").fetchall()[0][0]
    return " UNION ALL ".join(queries)


def _part(
    path: Path, schema: pa.Schema, connection: duckdb.DuckDBPyConnection, before: int, unread: list[str]
) -> str:
    scan = f"read_parquet({quoted(path)}, file_row_number = true)"
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
    except duckdb.Error as error:
        raise CatalogueError(f"{path} cannot be read as Parquet: {error}", "write it again") from error
    types = {str(row[0]): str(row[1]) for row in described}
    known = {*schema.names, "file_row_number"}
    unread += [f"{path.name}: {name}" for name in types if name not in known]
    columns = [_column(path, field, types) for field in schema]
    present = [name for name in schema.names if name in types]
    if "text" not in schema.names:
        columns.append(f"to_json(struct_pack({', '.join(present)}))::VARCHAR AS text")
    return f"""
        SELECT {", ".join(columns)}, file_row_number + {before + 1} AS line, NULL::VARCHAR AS reason
        FROM {scan}"""


def _column(path: Path, field: pa.Field, types: dict[str, str]) -> str:
    """Return SQL of a column of the contract, from the columns in the file (name → DuckDB type)."""
    expected, accepted = _types(field.type)
    kind = types.get(field.name)
    if kind is None:
        if not field.nullable:
            raise CatalogueError(
                f"{path} has no column {field.name!r}; it has {', '.join(sorted(types))}",
                f"add {field.name!r} as {expected}",
            )
        return f"NULL::{expected} AS {field.name}"
    if kind not in accepted and not (expected == "DOUBLE" and kind.startswith("DECIMAL")):
        raise CatalogueError(
            f"column {field.name!r} of {path} is {kind}, which is no {expected}", f"write it as {expected}"
        )
    return f"{field.name}::{expected} AS {field.name}"


def _types(kind: pa.DataType) -> tuple[str, set[str]]:
    """Return the DuckDB type of an Arrow type, and those that can be read as it without a guess."""
    if pa.types.is_map(kind):
        return "MAP(VARCHAR, VARCHAR)", {"MAP(VARCHAR, VARCHAR)"}
    if pa.types.is_list(kind):
        return "VARCHAR[]", {"VARCHAR[]"}
    if pa.types.is_timestamp(kind):
        return "TIMESTAMPTZ", TIMES
    if pa.types.is_floating(kind):
        return "DOUBLE", {"DOUBLE", "FLOAT", *INTEGERS}
    if pa.types.is_integer(kind):
        return "BIGINT", INTEGERS
    return "VARCHAR", {"VARCHAR", "UUID", *INTEGERS}
