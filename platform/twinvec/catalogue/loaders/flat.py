"""Flat tables with a header: CSV (separated by any of `, ; | tab`, plain or gzipped) or Parquet of simple columns.

Columns are staged as text under Twinvec's names. The loader's SQL interprets the text.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from twinvec.catalogue.loaders.staging import PROVENANCE, TEXT_LENGTH, LoaderContext, StagingFile
from twinvec.catalogue.loaders.text import Line, read_lines
from twinvec.catalogue.snapshot import identifier, quoted
from twinvec.errors import CatalogueError

# Other names a header may use for ours, where there is no doubt what is meant.
SYNONYMS = {
    "order_id": ("order", "basket_id", "basket", "transaction_id", "transaction"),
    "session_id": ("session",),
    "product_id": ("product", "item_id", "item"),
    "time": ("timestamp",),
}
DELIMITERS = ",;|\t"
# What `csv` says when one stray quote has swallowed the rows after it.
SWALLOWED = ("field larger", "unexpected end of data")


@dataclass(frozen=True)
class Columns:
    """Required and optional columns of a flat table."""

    required: tuple[str, ...]
    optional: tuple[str, ...]


def stage(path: Path, columns: Columns, context: LoaderContext) -> str:
    """Stage the table at `path`.

    Returns:
        SQL to select from: each of `columns` as text (NULL if absent), and `line`, `text`, `reason`.

    Raises:
        CatalogueError: If the file cannot be read, is empty, or lacks a required column.
    """
    if path.suffix == ".parquet":
        return _parquet(path, columns, context)
    return _csv(path, columns, context)


def resolve(path: Path, headers: list[str], columns: Columns, mapped: Mapping[str, str]) -> dict[str, str]:
    """Return our column → the file's column: as `mapped`, else by our name, else by a synonym.

    Raises:
        CatalogueError: If a required column is not there, or several might be it.
    """
    by_name = {name.strip().lower(): name for name in headers}
    resolved = {}
    for column in (*columns.required, *columns.optional):
        preferred = [mapped[column].lower()] if column in mapped else []
        exact = [name for name in (*preferred, column) if name in by_name]
        names = exact[:1] or [name for name in SYNONYMS.get(column, ()) if name in by_name]
        if len(names) > 1 or (not names and column in columns.required):
            state = f"several columns for {column!r}" if names else f"no column {column!r}"
            needed = "; ".join(" or ".join((name, *SYNONYMS.get(name, ()))) for name in columns.required)
            raise CatalogueError(
                f"{path} has {state}; its columns are {', '.join(headers)}; wanted are {needed}",
                f'say which it is: under [ingest.columns] of the settings, {column} = "NAME IN THE FILE", '
                f'or in the environment, TWINVEC_INGEST__COLUMNS=\'{{"{column}": "NAME"}}\'',
            )
        if names:
            resolved[column] = by_name[names[0]]
    return resolved


def _csv(path: Path, columns: Columns, context: LoaderContext) -> str:
    lines = read_lines(path)
    first = next(lines, None)
    if first is None or first.reason:
        problem = first.reason if first else "the file is empty"
        raise CatalogueError(f"{path} has no header: {problem}", "its first line must name its columns")
    delimiter = max(DELIMITERS, key=first.text.count)
    header = next(csv.reader([first.text], delimiter=delimiter))
    resolved = resolve(path, header, columns, context.columns)
    names = (*columns.required, *columns.optional)
    positions = [header.index(resolved[name]) if name in resolved else None for name in names]
    schema = pa.schema([*(pa.field(name, pa.string()) for name in names), *PROVENANCE])
    staged = context.work / f"{path.name}.parquet"
    with StagingFile(staged, schema, context.progress) as staging:
        for fields, line, reason in _rows(lines, delimiter, path):
            if reason is None and len(fields) != len(header):
                reason = f"{len(fields)} fields in place of {len(header)}"
            values = [None if reason or at is None else fields[at] for at in positions]
            staging.append((*values, line.number, line.text[:TEXT_LENGTH].rstrip(), reason), len(line.text))
    return f"read_parquet({quoted(staged)})"


class _Row(NamedTuple):
    fields: list[str]
    line: Line
    reason: str | None


def _rows(lines: Iterator[Line], delimiter: str, path: Path) -> Iterator[_Row]:
    """Yield CSV rows, each with its last line and with what was wrong with it; unusable lines are rows of none."""
    unusable: list[Line] = []
    last = Line(1, "", None)

    def usable() -> Iterator[str]:
        nonlocal last
        for line in lines:
            if line.reason:
                unusable.append(line)
            else:
                last = line
                yield line.text

    reader = csv.reader(usable(), delimiter=delimiter, strict=True)
    going = True
    while going:
        try:
            row = next(reader, None)
        except csv.Error as error:
            if str(error).startswith(SWALLOWED):
                raise CatalogueError(
                    f"{path}, before line {last.number}: a quote is opened and not closed ({error})",
                    "close the quote, or double it if it belongs to the value",
                ) from error
            yield _Row([], last, "not CSV")
        else:
            going = row is not None
            if row is not None:
                yield _Row(row, last, None)
        yield from (_Row([], line, line.reason) for line in unusable)
        unusable.clear()


def _parquet(path: Path, columns: Columns, context: LoaderContext) -> str:
    scan = f"read_parquet({quoted(path)}, file_row_number = true)"
    try:
        described = context.connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
    except duckdb.Error as error:
        raise CatalogueError(f"{path} cannot be read as Parquet: {error}", "write it again") from error
    headers = {str(row[0]): str(row[1]) for row in described if row[0] != "file_row_number"}
    resolved = resolve(path, list(headers), columns, context.columns)
    for name in resolved.values():
        if headers[name].endswith("]") or headers[name].startswith(("MAP", "STRUCT")):
            raise CatalogueError(
                f"column {name!r} of {path} is {headers[name]}; only simple values are read here",
                "a folder with lists and maps, as the contract has them, is read with the format `parquet`",
            )
    selected = [
        f"{identifier(resolved[name])}::VARCHAR AS {name}" if name in resolved else f"NULL::VARCHAR AS {name}"
        for name in (*columns.required, *columns.optional)
    ]
    text = "concat_ws(',', " + ", ".join(identifier(name) for name in resolved.values()) + ")"
    return f"""(
        SELECT {", ".join(selected)}, file_row_number + 1 AS line, {text} AS text, NULL::VARCHAR AS reason
        FROM {scan})"""
