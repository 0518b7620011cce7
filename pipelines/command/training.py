"""`twinvec run` and `twinvec train`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import ProgressDisplay, shown
from twinvec.errors import NotFoundError

if TYPE_CHECKING:
    from registry.models import Release
    from twinvec.catalogue.snapshot import Snapshot
    from twinvec.dag import Step
    from twinvec.releases.gates import GateError
    from twinvec.workspace import Workspace

SnapshotId = Annotated[
    str | None,
    typer.Option("--snapshot", help="The snapshot to start from; the last one ingested if not given."),
]
Force = Annotated[bool, typer.Option("--force", help="Make new versions even if nothing changed.")]


def run(snapshot: SnapshotId = None, force: Force = False, as_json: AsJson = False) -> None:
    """Run every stage that is out of date, in order; publish and promote what is new."""
    from twinvec import dag
    from twinvec.nn import processes

    workspace = open_workspace()
    with processes.process_group(), shown() as progress:
        if not processes.is_first():
            dag.run(workspace, workspace.snapshot(snapshot), None, force)
            return
        found = refresh(workspace, workspace.snapshot(snapshot), force, progress)
    release = found.live
    if as_json:
        print_json({"steps": _records(found.steps), "live": release and release.collection} | found.refusal())
    else:
        print_steps(found.steps)
        typer.echo(
            f"live: {release.collection}, of {release.version.name}" if release else "no release is live"
        )
    if found.refused is not None:
        raise found.refused


def train(
    space: Annotated[
        str, typer.Argument(help="What to train: category, graph, text, image, aligned, related or sellers.")
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--from", help="A version to take as input in place of the latest, such as text@v3."),
    ] = None,
    snapshot: SnapshotId = None,
    force: Force = False,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--model",
            "--recipe",
            help="Model of the space related: {models}. `paper` is MERLIN as published. Default: `related.recipe` "
            "of the settings.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train one space, and what it needs if that is out of date; nothing is published."""
    from twinvec import dag
    from twinvec.nn import processes

    workspace = open_workspace(**({"related": {"recipe": recipe}} if recipe is not None else {}))
    with processes.process_group(), shown() as progress:
        given = {version.space: version for version in map(workspace.version, inputs or [])}
        steps = dag.run(workspace, workspace.snapshot(snapshot), {space}, force, progress, given)
    if not processes.is_first():
        return
    print_json(_records(steps)) if as_json else print_steps(steps)


@dataclass(frozen=True)
class Refreshed:
    """What a run came to.

    Attributes:
        steps: what became of each stage.
        live: the release that is live in the end.
        refused: why the new release is not that one; None if it is, or there was none to promote.
    """

    steps: list[Step]
    live: Release | None
    refused: GateError | None = None

    def refusal(self) -> dict[str, object]:
        """What was refused and why, as JSON-like values; empty if nothing was."""
        if self.refused is None:
            return {}
        return {"refused": self.refused.release.label, "gates": self.refused.outcome.record(forced=False)}


def refresh(workspace: Workspace, snapshot: Snapshot, force: bool, progress: ProgressDisplay) -> Refreshed:
    """Run the road, then publish and promote its `related` version unless it has been live before.

    A version that was live and is not any more was rolled back or replaced by someone who knew why: it stays so. One
    that gates refuse remains ready.
    """
    from twinvec import dag, releases
    from twinvec.releases.gates import GateError

    steps = dag.run(workspace, snapshot, None, force, progress)
    related = next((step.version for step in steps if step.space == "related"), None)
    if related is None:
        raise NotFoundError(
            f"snapshot {snapshot.id} gave no version of related: "
            + "; ".join(f"{step.space} {step.reason}" for step in steps if step.version is None),
            "ingest a catalogue with co-purchases, or orders to mine them from",
        )
    release = releases.newest_of(workspace, related)
    if release is None:
        release = releases.publish(workspace, related, progress.count)
    refused: GateError | None = None
    if release.promoted_at is None:
        from pipelines.related.held_out import compare  # imports torch

        try:
            releases.promote(workspace, release, progress.count, judge=compare)
        except GateError as refusal:
            refused = refusal
    return Refreshed(steps, releases.live(workspace), refused)


def print_steps(steps: Sequence[Step]) -> None:
    """Print what became of each stage."""
    print_table("Stages", ["space", "version", "what", "seconds", "vectors", "dimension"], map(_row, steps))


def _row(step: Step) -> tuple[object, ...]:
    version = step.version
    seconds = f"{step.seconds:.1f}" if step.made else None
    if version is None:
        return step.space, None, step.reason, seconds, None, None
    return step.space, version.name, step.reason, seconds, version.rows, version.dimension


def _records(steps: Sequence[Step]) -> list[dict[str, object]]:
    return [
        {
            "space": step.space,
            "version": step.version and step.version.name,
            "made": step.made,
            "seconds": step.seconds,
            "reason": step.reason,
            "metrics": step.version.metrics if step.version else {},
        }
        for step in steps
    ]
