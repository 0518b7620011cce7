"""What all tables of comparison have in common: rows are asked for by name, and their figures go to MLflow."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import Field, asdict
from typing import Any, ClassVar, Protocol

from twinvec.errors import SettingsError
from twinvec.settings import Settings
from twinvec.tracking import log_comparison


class Row(Protocol):
    """A row of a table: a dataclass with a name and figures."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def name(self) -> str:
        """Of the row."""


def require_rows(names: Sequence[str] | None, rows: Collection[str]) -> None:
    """Raise SettingsError if one of the names is not among the rows of a table."""
    if unknown := set(names or ()) - set(rows):
        raise SettingsError(f"there is no row {', '.join(sorted(unknown))}", f"rows are: {', '.join(rows)}")


def log_rows(settings: Settings, table: str, snapshot_id: str, rows: Sequence[Row]) -> None:
    """Log what is a number in each row: a run for the table, with one in it a row."""
    figures = {
        row.name: {name: value for name, value in asdict(row).items() if isinstance(value, int | float)}
        for row in rows
    }
    log_comparison(settings, table, snapshot_id, figures)
