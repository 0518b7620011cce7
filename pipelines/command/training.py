"""`twinvec run` and `twinvec train`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import shown

if TYPE_CHECKING:
    from twinvec.dag import Step
    from twinvec.estimates import Estimate

SnapshotId = Annotated[
    str | None,
    typer.Option("--snapshot", help="The snapshot to start from; the latest if not given."),
]
Force = Annotated[bool, typer.Option("--force", help="Make new versions even if nothing changed.")]


def run(snapshot: SnapshotId = None, force: Force = False, as_json: AsJson = False) -> None:
    """Run every stage that is out of date, in order; publish and promote what is new.

    A plan comes first: the stages that will run, how long each is likely to take, and what it was worth.
    """
    from twinvec import dag, estimates
    from twinvec.engine.together import asks_for_trainers, train_together
    from twinvec.nn import processes
    from twinvec.releases.refresh import refresh

    workspace = open_workspace()
    if asks_for_trainers(workspace.settings):
        # They make the versions, and this process finds them made.
        train_together(
            workspace.settings, _train_spaces, {"snapshot": snapshot, "spaces": None, "force": force}
        )
        force = False
    with processes.process_group():
        opened = workspace.snapshot(snapshot)
        if not processes.is_first():
            dag.run(workspace, opened, None, force)
            return
        plan = estimates.plan(workspace, opened, force)
        if not as_json:
            print_plan(plan)
        with shown() as progress:
            refreshed = refresh(workspace, opened, force, progress, progress.count)
    release = refreshed.live
    if as_json:
        print_json(
            {
                "plan": plan,
                "steps": _records(refreshed.steps),
                "live": release and release.collection,
            }
            | refreshed.refusal()
        )
    else:
        print_steps(refreshed.steps, plan)
        typer.echo(
            f"live: {release.collection}, of {release.version.name}" if release else "no release is live"
        )
    if refreshed.refused is not None:
        raise refreshed.refused


def train(
    space: Annotated[str, typer.Argument(help="Space to train: {spaces}.")],
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
    from twinvec.engine.together import asks_for_trainers, train_together
    from twinvec.nn import processes

    workspace = open_workspace(**({"related": {"recipe": recipe}} if recipe is not None else {}))
    if asks_for_trainers(workspace.settings):
        together = {
            "snapshot": snapshot,
            "spaces": [space],
            "force": force,
            "inputs": inputs,
            "recipe": recipe,
        }
        train_together(workspace.settings, _train_spaces, together)
        force = False
    with processes.process_group(), shown() as progress:
        versions = {version.space: version for version in map(workspace.version, inputs or [])}
        steps = dag.run(workspace, workspace.snapshot(snapshot), {space}, force, progress, versions)
    if not processes.is_first():
        return
    print_json(_records(steps)) if as_json else print_steps(steps)


def _train_spaces(arguments: Mapping[str, Any]) -> None:
    """Train as one of several processes."""
    from twinvec import dag
    from twinvec.nn import processes

    recipe, spaces = arguments.get("recipe"), arguments["spaces"]
    workspace = open_workspace(**({"related": {"recipe": recipe}} if recipe is not None else {}))
    with processes.process_group():
        versions = {
            version.space: version for version in map(workspace.version, arguments.get("inputs") or [])
        }
        dag.run(
            workspace,
            workspace.snapshot(arguments["snapshot"]),
            None if spaces is None else set(spaces),
            arguments["force"],
            given=versions,
        )


def print_plan(plan: Sequence[Estimate]) -> None:
    """Print what will run, how long it is likely to take, and what it was worth."""
    from twinvec.estimates import total

    if not plan:
        return
    print_table(
        "Plan",
        ["space", "why", "seconds", "as measured by", "worth"],
        [(each.space, each.reason, _seconds(each.seconds), each.basis, each.worth) for each in plan],
    )
    seconds, unknown = total(plan)
    told = f"about {seconds:,.0f} s" if len(unknown) < len(plan) else "no time is known yet"
    typer.echo(told + (f", without {', '.join(unknown)}" if unknown and len(unknown) < len(plan) else ""))


def print_steps(steps: Sequence[Step], plan: Sequence[Estimate] = ()) -> None:
    """Print the result of each space, with its estimated seconds if there was a plan."""
    estimated = {each.space: each.seconds for each in plan}
    columns = ["space", "version", "what", "seconds", "vectors", "dimension"]
    rows = [_row(step) for step in steps]
    if estimated:
        columns.insert(4, "estimated")
        rows = [
            (*row[:4], _seconds(estimated.get(step.space)) if step.made else None, *row[4:])
            for step, row in zip(steps, rows, strict=True)
        ]
    print_table("Stages", columns, rows)


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}"


def _row(step: Step) -> tuple[object, ...]:
    version = step.version
    seconds = _seconds(step.seconds) if step.made else None
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
