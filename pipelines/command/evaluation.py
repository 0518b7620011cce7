"""`twinvec evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import shown

if TYPE_CHECKING:
    from registry.models import Version
    from twinvec.workspace import Workspace


def evaluate(
    space: Annotated[
        str, typer.Argument(help="A space, as `related`, or a version, as `related@v3`.")
    ] = "related",
    edges: Annotated[
        Path | None,
        typer.Option(
            "--edges", help="A CSV file with the columns source and target, to rank (related only)."
        ),
    ] = None,
    slices: Annotated[
        bool,
        typer.Option(
            "--slices",
            help="By popularity, category, marketplace and cold start; what is shown (related only).",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print how good a version is: of the live release, if it is of this space, else the latest.

    Without --edges these are the figures recorded when it was made, which for `related` are of edges held out
    of its training. With --edges, the given edges are ranked by its vectors now, and asked of the live release.
    """
    workspace = open_workspace()
    of_edges = [name for name, given in (("--edges", edges is not None), ("--slices", slices)) if given]
    if of_edges and space.partition("@")[0] != "related":
        raise typer.BadParameter("only related can rank edges", param_hint=of_edges[0])
    if len(of_edges) == 2:
        raise typer.BadParameter("slices are of the edges held out of training", param_hint="--edges")
    if slices:
        _slices(workspace, space, as_json)
        return
    if edges is None:
        version = _judged(workspace, space)
        figures: dict[str, object] = {"version": version.name, **version.metrics}
        title = f"{version.name}, as recorded with it: on edges held out of its training"
    else:
        with shown() as progress:
            progress(f"ranking the edges of {edges}")
            from pipelines.evaluation.served import evaluate_edges

            named = space if "@" in space else None
            figures = asdict(evaluate_edges(workspace, edges, named))
        title = f"{figures['version']} on {edges}"
    print_json(figures) if as_json else _print(title, figures)


def _judged(workspace: Workspace, space: str) -> Version:
    from twinvec import releases

    serving = releases.live(workspace)
    return serving.version if serving and serving.version.space == space else workspace.version(space)


def _print(title: str, figures: Mapping[str, object]) -> None:
    print_table(title, ["figure", "value"], figures.items())


def _slices(workspace: Workspace, space: str, as_json: bool) -> None:
    with shown() as progress:
        progress("ranking the test edges")
        from pipelines.evaluation.slices import evaluate_slices

        found = evaluate_slices(workspace, _judged(workspace, space))
    if as_json:
        print_json(found)
        return
    print_table(
        f"{found.version} on the edges held out of its training",
        ["edges", "number", "MRR@10", "Hits@10"],
        [(each.kind, each.edges, each.mrr_at_10, each.hits_at_10) for each in found.slices],
    )
    _print("its lists of ten", asdict(found.shown))
