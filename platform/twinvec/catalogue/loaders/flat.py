"""Flat tables with a header: CSV (separated by any of `, ; | tab`, plain or gzipped) or Parquet of simple columns.

A table is a file, or a folder of part files with a header each. Columns are staged as text under Twinvec's names. The
loader's SQL interprets the text.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from twinvec.catalogue.cleaning import IDS
from twinvec.catalogue.loaders.sources import is_parquet, parts
from twinvec.catalogue.loaders.staging import PROVENANCE, TEXT_LENGTH, LoaderContext, StagingFile
from twinvec.catalogue.loaders.text import MAX_LINE, Line, read_lines
from twinvec.catalogue.snapshot import identifier, quoted
from twinvec.errors import CatalogueError

# Other names a header may use for ours, where there is no doubt what is meant.
SYNONYMS = {
    "order_id": (
        *("order", "basket_id", "basket", "transaction_id", "transaction"),
        *("invoice", "invoice_id", "invoiceno", "invoice_no"),
    ),
    "session_id": ("session",),
    "product_id": ("product", "item_id", "item", "stockcode", "stock_code", "sku"),
    "time": ("timestamp", "invoicedate", "invoice_date", "order_date"),
    "title": ("product_name", "product_title"),
    "quantity": ("qty",),
    "status": ("order_status",),
}
# Words in the name of a column that is not read, by which it may be meant for ours.
LIKELY = {
    "title": ("title", "name", "description"),
    "category": ("category", "department", "aisle", "class", "genre"),
    "price": ("price", "amount", "cost"),
    "image": ("image", "picture", "photo", "img"),
    "brand": ("brand", "manufacturer", "vendor"),
    "time": ("time", "date"),
    "quantity": ("quantity", "qty", "units"),
    "status": ("status", "state"),
}
DELIMITERS = ",;|\t"
# What `csv` says when one stray quote has swallowed the rows after it.
SWALLOWED = ("field larger", "unexpected end of data")
INTEGERS = {
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
}
NUMBERS = ("DOUBLE", "FLOAT", "DECIMAL")


@dataclass(frozen=True)
class Columns:
    """Required and optional columns of a flat table."""

    required: tuple[str, ...]
    optional: tuple[str, ...]


@dataclass
class Tables:
    """Record of the columns of one source's tables: all, and those that were read.

    Attributes:
        seen: Every column of any file.
        read: Those that something was read from.
        numbers: Our columns that were numbers in the file, whose decimals are always points.
    """

    seen: list[str] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)

    def unread(self) -> tuple[str, ...]:
        """Return the columns that nothing was read from."""
        return tuple(dict.fromkeys(name for name in self.seen if name not in self.read))

    def check_mapped(self, source: Path, mapped: Mapping[str, str]) -> None:
        """Check that every name that the settings give is that of a column.

        Raises:
            CatalogueError: Naming one that no file has.
        """
        names = {name.strip().lower() for name in self.seen}
        for column, name in mapped.items():
            if name.strip().lower() not in names:
                raise CatalogueError(
                    f"ingest.columns says that {column} is {name!r}, but no file of {source} has such a column",
                    f"its columns are {', '.join(dict.fromkeys(self.seen))}",
                )

    def likely(self) -> dict[str, str]:
        """Return our column → a column that nothing was read from, and that may be meant for it."""
        found: dict[str, str] = {}
        for column, words in LIKELY.items():
            for name in self.unread():
                if any(word in name.lower() for word in words) and not name.lower().endswith("id"):
                    found.setdefault(column, name)
        return found


def stage(path: Path, columns: Columns, context: LoaderContext, tables: Tables | None = None) -> str:
    """Stage the table at `path`, a file or a folder of part files.

    Returns:
        SQL to select from: each of `columns` as text (NULL if absent), and `line`, `text`, `reason`.

    Raises:
        CatalogueError: If a file cannot be read, is empty, or lacks a required column, or if ids are floats, booleans
            or bytes.
    """
    tables = tables if tables is not None else Tables()
    files = parts(path)
    if is_parquet(files[0]):
        return _parquet(files, columns, context, tables)
    return _csv(path, files, columns, context, tables)


def resolve(path: Path, headers: list[str], columns: Columns, mapped: Mapping[str, str]) -> dict[str, str]:
    """Return our column → the file's column: as `mapped`, else by our name, else by a synonym.

    Raises:
        CatalogueError: If a required column is not there, or several might be it.
    """
    by_name = {name.strip().lower(): name for name in reversed(headers)}
    resolved = {}
    for column in (*columns.required, *columns.optional):
        preferred = [mapped[column].strip().lower()] if column in mapped else []
        exact = [name for name in (*preferred, column) if name in by_name]
        names = exact[:1] or [name for name in SYNONYMS.get(column, ()) if name in by_name]
        twice = [name for name in headers if names and name.strip().lower() == names[0]]
        if len(names) > 1 or len(twice) > 1 or (not names and column in columns.required):
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


def _csv(path: Path, files: list[Path], columns: Columns, context: LoaderContext, tables: Tables) -> str:
    names = (*columns.required, *columns.optional)
    schema = pa.schema([*(pa.field(name, pa.string()) for name in names), *PROVENANCE])
    staged = context.work / f"{path.name}.parquet"
    csv.field_size_limit(MAX_LINE)
    before = 0
    with StagingFile(staged, schema, context.progress) as staging:
        for file in files:
            lines = read_lines(file)
            header, delimiter = _header(file, next(lines, None))
            resolved = resolve(file, header, columns, context.columns)
            tables.seen += header
            tables.read |= set(resolved.values())
            positions = [header.index(resolved[name]) if name in resolved else None for name in names]
            number = 1
            for fields, (number, text, _), reason in _rows(lines, delimiter, file):
                if reason is None and len(fields) != len(header):
                    reason = f"{len(fields)} fields in place of {len(header)}"
                values = [None if reason or at is None else fields[at] for at in positions]
                staging.append((*values, before + number, text[:TEXT_LENGTH].rstrip(), reason), len(text))
            before += number
    return f"read_parquet({quoted(staged)})"


def _header(path: Path, first: Line | None) -> tuple[list[str], str]:
    """Return the names of the columns, and what separates them."""
    if first is None or first.reason:
        problem = first.reason if first else "the file is empty"
        raise CatalogueError(f"{path} has no header: {problem}", "its first line must name its columns")
    delimiter = max(DELIMITERS, key=first.text.count)
    try:
        return next(csv.reader([first.text], delimiter=delimiter)), delimiter
    except (csv.Error, StopIteration) as error:
        raise CatalogueError(
            f"{path} has no header: its first line is no CSV ({error})",
            "its first line must name its columns",
        ) from error


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


def _parquet(files: list[Path], columns: Columns, context: LoaderContext, tables: Tables) -> str:
    before, queries = 0, []
    for path in files:
        scan = f"read_parquet({quoted(path)}, file_row_number = true)"
        try:
            described = context.connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
            counted = context.connection.execute(f"SELECT count(*) FROM {scan}").fetchall()
        except duckdb.Error as error:
            raise CatalogueError(f"{path} cannot be read as Parquet: {error}", "write it again") from error
        headers = {str(row[0]): str(row[1]) for row in described if row[0] != "file_row_number"}
        resolved = resolve(path, list(headers), columns, context.columns)
        tables.seen += headers
        tables.read |= set(resolved.values())
        for ours, name in resolved.items():
            check_type(path, name, headers[name], ours in IDS)
            if headers[name].startswith(NUMBERS) or headers[name] in INTEGERS:
                tables.numbers.add(ours)
        selected = [
            f"{identifier(resolved[name])}::VARCHAR AS {name}"
            if name in resolved
            else f"NULL::VARCHAR AS {name}"
            for name in (*columns.required, *columns.optional)
        ]
        text = "concat_ws(',', " + ", ".join(identifier(name) for name in resolved.values()) + ")"
        queries.append(
            f"SELECT {', '.join(selected)}, file_row_number + {before + 1} AS line, {text} AS text, "
            f"NULL::VARCHAR AS reason FROM {scan}"
        )
        before += counted[0][0]
    return f"({' UNION ALL '.join(queries)})"


def check_type(path: Path, name: str, kind: str, is_id: bool) -> None:
    """Check that a column of Parquet can be read as text, or as an id.

    Raises:
        CatalogueError: For lists, structures and bytes; for ids that are anything but text or integers.
    """
    if kind.endswith("]") or kind.startswith(("MAP", "STRUCT")):
        raise CatalogueError(
            f"column {name!r} of {path} is {kind}; only simple values are read here",
            "a folder with lists and maps, as the contract has them, is read with the format `parquet`",
        )
    if is_id and not (
        kind in {"VARCHAR", "UUID", *INTEGERS} or kind.startswith("ENUM") or kind.endswith(",0)")
    ):
        raise CatalogueError(
            f"column {name!r} of {path} is {kind}, which is no id",
            "write ids as text: as numbers they lose their zeros and get decimals",
        )
    if kind in ("BLOB", "BIT"):
        raise CatalogueError(f"column {name!r} of {path} is {kind}, which is no text", "write it as text")
