"""Output of commands on stdout: tables for people, JSON for programs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Annotated, Any

import typer

from twinvec.text import printable, valid

# Width of a table where stdout is no terminal, so that nothing is cut.
WIDTH = 200
UNBOUNDED = 10_000

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]


def print_json(value: object) -> None:
    """Print `value` as JSON; NaN and infinity, which JSON lacks, become null."""
    typer.echo(valid(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)))


def plain(value: object) -> Any:
    """Return `value` as JSON types; objects of other types become their text, fields without a repr are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value) if each.repr}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return value if value is None or isinstance(value, str | int) else str(value)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown."""
    lines = [[*columns], ["---"] * len(columns), *([cell(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table, or its title alone if it has no rows; columns of numbers are aligned to the right.

    Where columns are too many for the width, words would be broken: each row is then printed as a list of its values.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    console.print(Text(printable(title), style="bold"), soft_wrap=True)
    listed = [list(row) for row in rows]
    if not listed:
        return
    table = Table(box=SIMPLE_HEAD)
    for number, column in enumerate(columns):
        values = [row[number] for row in listed if row[number] is not None]
        numbers = bool(values) and all(isinstance(value, int | float) for value in values)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in listed:
        table.add_row(*(Text(printable(cell(value))) for value in row))
    least = Measurement.get(console, console.options.update(max_width=UNBOUNDED), table).minimum
    if least <= console.width:
        console.print(table)
        return
    for row in listed:
        console.print(Text(printable(cell(row[0])), style="bold"), soft_wrap=True)
        record = Table.grid(padding=(0, 2))
        for column, value in zip(columns[1:], row[1:], strict=True):
            record.add_row(Text(f"  {column}"), Text(printable(cell(value))))
        console.print(record)


def cell(value: object) -> str:
    """Return a value as text for a table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return " > ".join(value) if isinstance(value, tuple) else str(value)
