"""The declaration of a table of comparison, and the table that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from twinvec.catalogue.snapshot import Snapshot
    from twinvec.settings import Settings
    from twinvec.workspace import Workspace

# The way of judging rows that every table has; encoders have another one.
RELATED = "related"


class Row(Protocol):
    """A row of a table: a dataclass with a name, and a field for each column."""

    @property
    def name(self) -> str:
        """Name of the row."""


Problem = TypeVar("Problem")
Fitted = TypeVar("Fitted")
RowT = TypeVar("RowT", bound=Row)


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        field: Field of a row that the column shows; `figures.mrr` is a nested one, or a key of a mapping.
        title: Heading of the column.
        logged: Whether the numbers of the column go to MLflow, under the last part of the field's name.
    """

    field: str
    title: str
    logged: bool = True

    @property
    def key(self) -> str:
        """Name of the figure in MLflow."""
        return self.field.rpartition(".")[2]

    def value(self, row: Row) -> object:
        """Return what the column shows of a row."""
        outer, _, key = self.field.partition(".")
        value = attrgetter(outer)(row)
        return value[key] if key else value


@dataclass(frozen=True)
class Request:
    """A table that is asked for.

    Attributes:
        workspace: The stores, with the settings of all models.
        snapshot: Snapshot to compare on.
        progress: Called with what is being done.
        by: What rows are judged by, one of `Comparison.judged_by`.
    """

    workspace: Workspace
    snapshot: Snapshot
    progress: Callable[[str], None]
    by: str = RELATED

    @property
    def settings(self) -> Settings:
        """The settings of everything."""
        return self.workspace.settings


def unchanged(rows: Sequence[RowT]) -> list[RowT]:
    """Return the rows as they are."""
    return list(rows)


@dataclass(frozen=True)
class Comparison(Generic[Problem, Fitted, RowT]):
    """The declaration of a table: rows that are fitted and judged one after the other on one problem.

    A module that declares one imports heavy libraries inside its functions only, so that it can be listed at once.

    Attributes:
        name: Word by which the command and MLflow name the table.
        title: Heading; `{settings.…}`, `{by}` and `{first}` (name of the first row) are filled in.
        columns: Columns beside the row's name, in order.
        rows: Returns the names of the rows that are fitted if none is asked for.
        prepare: Reads what all rows share.
        fit: Fits the row of this name; None if the snapshot lacks what it needs.
        judge: Returns the row of what was fitted, by this name, in so many seconds.
        others: Names of rows that are fitted only if they are asked for.
        finish: Completes the rows when all are there, such as with figures relative to one of them.
        summary: Fields of a row that are told when it is judged.
        heading: Heading of the column of names.
        judged_by: What rows can be judged by; the first is the default.
        run_name: Name of the run in MLflow if it is not the table's own; `{by}` is filled in.
        extra: Extra of this package that brings optional dependencies; rows that need others are left out.
        help: One sentence for the command's help.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: Callable[[], Sequence[str]]
    prepare: Callable[[Request], Problem]
    fit: Callable[[Problem, str], Fitted | None]
    judge: Callable[[Problem, str, Fitted, float], RowT]
    others: tuple[str, ...] = ()
    finish: Callable[[Sequence[RowT]], list[RowT]] = unchanged
    summary: tuple[str, ...] = ()
    heading: str = ""
    judged_by: tuple[str, ...] = (RELATED,)
    run_name: str = ""
    extra: str | None = None
    help: str = ""


@dataclass(frozen=True)
class Table:
    """The rows of a comparison, ready to be printed.

    Attributes:
        title: Heading.
        headings: Heading of each column, that of the names first.
        cells: Values of each row, in the order of the headings.
        rows: The rows themselves.
    """

    title: str
    headings: list[str]
    cells: list[tuple[object, ...]]
    rows: list[Any]
