"""Rows of Amazon's metadata as dictionaries, from each kind of file that people hold it in."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from twinvec.catalogue.loaders.sources import is_parquet, starts
from twinvec.catalogue.loaders.text import read_lines
from twinvec.catalogue.snapshot import quoted
from twinvec.errors import CatalogueError

Row = tuple[int, str, dict[str, Any] | None, str | None]
"""Number, text, the row, and the reason if there is none."""
BATCH = 2_000
# Python takes about a kilobyte for each part of a literal. Beside its strings, one may have this many characters.
MOST_STRUCTURE, CHECKED_FROM = 200_000, 100_000
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_NAMES = {**dict.fromkeys(("nan", "NaN", "inf", "Infinity", "NaT", "null")), "true": True, "false": False}
_FAILURES = (ValueError, SyntaxError, TypeError, RecursionError, MemoryError)
# NaN and Infinity, which are no JSON but what Python writes, are missing values.
_decode = json.JSONDecoder(parse_constant=lambda _name: None).decode


def read(path: Path, edition: str) -> Iterator[Row]:
    """Yield the rows of one file.

    Raises:
        CatalogueError: If the file cannot be read, or holds ids as floats, booleans or bytes.
    """
    if is_parquet(path):
        yield from _of_parquet(path)
    elif edition != "amazon-2014" and starts(path, 64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        yield from _of_array(path)
    else:
        literal = edition == "amazon-2014"
        for number, text, reason in read_lines(path):
            row, why = (None, reason) if reason else parse(text, literal)
            yield number, text, row, why


def parse(text: str, literal: bool) -> tuple[dict[str, Any] | None, str | None]:
    """Return the object of a line, or None and the reason; a `literal` may be JSON as well."""
    # A literal must start in the first column: Python reads leading space as a block.
    written = text.strip()
    try:
        if not literal or written.startswith('{"'):
            return _object(_decode(written))
    except _FAILURES:
        if not literal:
            return None, "not JSON"
    if len(written) > CHECKED_FROM and len(_STRING.sub("s", written)) > MOST_STRUCTURE:
        return None, "a literal of too many parts"
    try:
        return _object(ast.literal_eval(written))
    except _FAILURES:
        pass
    try:
        return _object(ast.literal_eval(_Named().visit(ast.parse(written, mode="eval"))))
    except _FAILURES:
        return None, "not a Python literal"


def _object(row: object) -> tuple[dict[str, Any] | None, str | None]:
    return (row, None) if isinstance(row, dict) and row else (None, "not an object")


class _Named(ast.NodeTransformer):
    """Replaces the names that `repr` writes for values without a literal: `nan`, `inf`; and those of JSON."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(_NAMES[node.id]) if node.id in _NAMES else node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        named = isinstance(node.operand, ast.Name) and node.operand.id in _NAMES
        return ast.Constant(None) if named else node


def _of_array(path: Path) -> Iterator[Row]:
    with duckdb.connect() as connection:
        query = f"SELECT json FROM read_json_objects({quoted(path)}, format = 'array')"
        try:
            batches = connection.execute(query)
            number = 0
            while rows := batches.fetchmany(BATCH):
                for (text,) in rows:
                    number += 1
                    yield number, text, *parse(text, literal=False)
        except duckdb.Error as error:
            raise CatalogueError(
                f"{path} is no array of JSON objects: {error}", "write an object a line (JSON lines)"
            ) from error


def _of_parquet(path: Path) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path) as file:
            for field in file.schema_arrow:
                if field.name in ("asin", "parent_asin") and not _is_id(field.type):
                    raise CatalogueError(
                        f"column {field.name!r} of {path} is {field.type}, which is no id",
                        "write ids as text: as numbers they lose their zeros and get decimals",
                    )
            number = 0
            for batch in file.iter_batches(BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield number, str(row), row, None
    except (pa.ArrowException, OSError) as error:
        raise CatalogueError(f"{path} cannot be read as Parquet: {error}", "write it again") from error


def _is_id(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(
        pa.types.is_string(value)
        or pa.types.is_large_string(value)
        or pa.types.is_string_view(value)
        or pa.types.is_integer(value)
        or pa.types.is_null(value)
    )
