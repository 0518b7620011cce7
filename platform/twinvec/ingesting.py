"""Ingest of a source into a home: its snapshot, and the history of products in Feast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twinvec.catalogue.ingest import IngestReport
    from twinvec.workspace import Workspace


def ingest_into(
    workspace: Workspace,
    source: Path,
    format: str,  # noqa: A002 - the word the command and the registry use
    as_of: str | date | datetime | None = None,
    progress: Callable[[str], None] = lambda _message: None,
) -> IngestReport:
    """Make a snapshot of `source`, and bring the history of products in Feast up to date.

    The snapshot is kept if Feast does not answer: a warning says so, and the next training or `twinvec doctor --fix`
    brings the history up to date. See `twinvec.catalogue.ingest.ingest` for arguments and errors.
    """
    from twinvec.catalogue.ingest import ingest
    from twinvec.features.store import apply_history

    report = ingest(source, format, workspace.settings, workspace.engine, progress, as_of)
    try:
        progress("history of products")
        apply_history(workspace.features, workspace.settings, workspace.engine)
    except Exception as error:  # each store of Feast has errors of its own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        said = f"Feast's history of products is not up to date: {reason}; `twinvec doctor --fix` mends it"
        return replace(report, warnings=(*report.warnings, said))
    return report
