"""Ablations: the road run with one part in several variants, side by side (MERLIN 4.2.3, Tables 6 and 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import inspect

from registry import operations
from registry.database import transaction
from registry.models import Snapshot as SnapshotRow
from registry.models import Version
from twinvec import dag
from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import CatalogueError
from twinvec.settings import FeastSettings, RegistrySettings, Settings
from twinvec.tracking import log_comparison
from twinvec.workspace import Workspace

FIGURES = ("hits_at_1", "hits_at_3", "hits_at_5", "mrr_at_10")
# What the figures are of, and the prefix of their names in a version's metrics.
Task = Literal["coviews", "related"]
PREFIX: dict[Task, str] = {"coviews": "coview_", "related": ""}
# The rows of the paper's tables, by `scheme`; the first is what the others are compared with.
SCHEMES = {
    "text": ("pretrained", "copurchase", "category", "coview", "coview-ml"),
    "image": ("none", "pretrained", "same-product", "coview-pair"),
}


@dataclass(frozen=True)
class Row:
    """One variant, and how good it is.

    Attributes:
        scheme: of the encoder.
        version: whose figures they are, among those of the ablation.
        figures: Hits@1, 3, 5 and MRR@10 on held-out pairs.
        relative: the same, divided by the first row's; None where that is 0.
    """

    scheme: str
    version: str
    figures: dict[str, float]
    relative: dict[str, float | None]


def ablate(
    workspace: Workspace,
    snapshot: Snapshot,
    space: Literal["text", "image"],
    task: Task,
    progress: Callable[[str], None],
    schemes: Sequence[str] | None = None,
) -> list[Row]:
    """Run the road once for each scheme of one encoder, and compare.

    The versions are made in a registry, a feature store and, without a tracking server, an MLflow database of their
    own, in `ablations` of the home, so that those that others read stay as they are; what is there from an earlier
    ablation is used again. The figures also go to the home's own MLflow: one run, with a nested run for each row.

    Args:
        workspace: with the settings of everything else.
        snapshot: to compare on.
        space: the encoder.
        task: find co-viewed products by the encoder's own vectors, or related products by the whole model.
        progress: told what is going on.
        schemes: rows; those of the paper's table if not given.

    Raises:
        CatalogueError: if the snapshot has nothing to compare on.
    """
    judged = space if task == "coviews" else "related"
    rows: list[Row] = []
    for scheme in schemes or SCHEMES[space]:
        variant = _workspace(workspace.settings, snapshot, workspace.snapshot_row(snapshot.id), space, scheme)

        def report(message: str, row: str = scheme) -> None:
            progress(f"{row}: {message}")

        steps = dag.run(variant, snapshot, {judged}, progress=report)
        step = next(step for step in steps if step.space == judged)
        if step.version is None:
            raise CatalogueError(
                f"snapshot {snapshot.id} gave no version of {judged} with {space}.scheme={scheme}: {step.reason}",
                "ingest a catalogue that has what is compared",
            )
        rows.append(_row(scheme, step.version, task, rows))
    log_comparison(
        workspace.settings, f"{space} by {task}", snapshot.id, {row.scheme: row.figures for row in rows}
    )
    return rows


def _row(scheme: str, version: Version, task: Task, before: Sequence[Row]) -> Row:
    metrics = version.metrics or {}
    if f"{PREFIX[task]}{FIGURES[0]}" not in metrics:
        raise CatalogueError(
            f"{version.name} has no figures on {task}: its graph has none held out",
            "ingest a larger catalogue",
        )
    figures = {name: float(metrics[f"{PREFIX[task]}{name}"]) for name in FIGURES}
    first = before[0].figures if before else figures
    relative = {name: figures[name] / first[name] if first[name] else None for name in FIGURES}
    return Row(scheme, version.name, figures, relative)


def _workspace(
    settings: Settings, snapshot: Snapshot, known: SnapshotRow, space: str, scheme: str
) -> Workspace:
    group = getattr(settings, space).model_copy(update={"scheme": scheme})
    own = {
        "home": settings.paths.ablations,
        "registry": RegistrySettings(),
        "feast": FeastSettings(),
        space: group,
    }
    workspace = Workspace(settings.model_copy(update=own))
    own["home"].mkdir(parents=True, exist_ok=True)
    columns = {column.key: getattr(known, column.key) for column in inspect(SnapshotRow).column_attrs}
    with transaction(workspace.engine) as session:
        operations.record_snapshot(session, SnapshotRow(**columns))
    return workspace
