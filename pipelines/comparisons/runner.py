"""The one way in which every table of comparison is made: prepare, fit and judge each row, log, lay out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from pipelines.baselines.problem import UnsuitedError
from pipelines.comparisons.comparison import Comparison, Fitted, Problem, Request, RowT, Table
from twinvec.errors import SettingsError
from twinvec.tracking import log_comparison


def run(
    comparison: Comparison[Any, Any, RowT], request: Request, names: Sequence[str] | None = None
) -> list[RowT]:
    """Fit and judge the rows of a table, and log their figures to MLflow: a run, with a nested run for each row.

    Args:
        comparison: The declaration of the table.
        request: The stores, the snapshot, and what rows are judged by.
        names: Names of rows, in the order wanted; the table's own rows if not given.

    Returns:
        The rows; those are left out that lack data in the snapshot or an optional dependency, or do not suit it.

    Raises:
        SettingsError: If there is no such row, or rows cannot be judged by `request.by`.
        CatalogueError: If the snapshot has nothing to compare on.
    """
    if request.by not in comparison.judged_by:
        raise SettingsError(
            f"{comparison.name} is not judged by {request.by}",
            f"it can be judged by {' or '.join(comparison.judged_by)}",
        )
    known = tuple(comparison.rows())
    if unknown := set(names or ()) - {*known, *comparison.others}:
        known = (*known, *comparison.others)
        raise SettingsError(f"there is no row {', '.join(sorted(unknown))}", f"rows are: {', '.join(known)}")
    problem = comparison.prepare(request)
    rows = []
    for name, fitted, seconds in _fitted(comparison, problem, request, names or known):
        row = comparison.judge(problem, name, fitted, seconds)
        request.progress(f"{name}: {_summary(comparison, row)}")
        rows.append(row)
    rows = comparison.finish(rows)
    log_comparison(
        request.settings,
        (comparison.run_name or comparison.name).format(by=request.by),
        request.snapshot.id,
        {row.name: _numbers(comparison, row) for row in rows},
    )
    return rows


def lay_out(comparison: Comparison[Any, Any, RowT], request: Request, rows: Sequence[RowT]) -> Table:
    """Return the table of some rows, with its title and headings."""
    title = comparison.title.format(
        settings=request.settings, by=request.by, first=rows[0].name if rows else ""
    )
    headings = [comparison.heading, *(column.title for column in comparison.columns)]
    cells = [(row.name, *(column.value(row) for column in comparison.columns)) for row in rows]
    return Table(title, headings, cells, list(rows))


def _fitted(
    comparison: Comparison[Problem, Fitted, RowT], problem: Problem, request: Request, names: Sequence[str]
) -> Iterator[tuple[str, Fitted, float]]:
    """Fit one row after the other: name, what was fitted, seconds."""
    wanted = list(dict.fromkeys(names))
    for number, name in enumerate(wanted, 1):
        request.progress(f"{name}: fitting, row {number} of {len(wanted)}")
        started = time.perf_counter()
        try:
            fitted = comparison.fit(problem, name)
        except ModuleNotFoundError as error:
            if comparison.extra is None:
                raise
            request.progress(
                f"{name}: needs {error.name}, which `pip install 'twinvec[{comparison.extra}]'` brings"
            )
            continue
        except UnsuitedError as error:
            request.progress(f"{name}: left out. {error}")
            continue
        if fitted is None:
            request.progress(f"{name}: the snapshot has nothing for it")
            continue
        yield name, fitted, time.perf_counter() - started


def _summary(comparison: Comparison[Any, Any, RowT], row: RowT) -> str:
    columns = {column.field: column for column in comparison.columns}
    values = [(columns[field].title, columns[field].value(row)) for field in comparison.summary]
    return ", ".join(
        f"{title} {value:.4f}" if isinstance(value, float) else f"{title} {value}"
        for title, value in values
        if value is not None
    )


def _numbers(comparison: Comparison[Any, Any, RowT], row: RowT) -> dict[str, float]:
    values = {column.key: column.value(row) for column in comparison.columns if column.logged}
    return {key: value for key, value in values.items() if isinstance(value, int | float)}
