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
        str, typer.Argument(help="Space, as `related`, or version, as `related@v3`.")
    ] = "related",
    edges: Annotated[
        Path | None,
        typer.Option(
            "--edges", help="CSV file of edges to rank, with the columns source and target (related only)."
        ),
    ] = None,
    slices: Annotated[
        bool,
        typer.Option(
            "--slices",
            help="Figures by popularity, category, marketplace and cold start; coverage and diversity of the lists "
            "(related only).",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the quality of a version: the live one, if a release serves this space, else the latest.

    Without --edges, these are the figures recorded when the version was made; those of `related` are on edges held
    out of its training. With --edges, its vectors rank the edges of the file now, and the live release is queried;
    edges from a product to itself are left out, a repeated edge counts once, and the figures tell how many there are.
    """
    workspace = open_workspace()
    options = [name for name, chosen in (("--edges", edges is not None), ("--slices", slices)) if chosen]
    if options and space.partition("@")[0] != "related":
        raise typer.BadParameter("only related can rank edges", param_hint=options[0])
    if len(options) == 2:
        raise typer.BadParameter("slices are of the edges held out of training", param_hint="--edges")
    if slices:
        _slices(workspace, space, as_json)
        return
    if edges is None:
        version = _judged(workspace, space)
        figures: dict[str, object] = {"version": version.name, **version.metrics}
        title = f"{version.name}, as recorded with it" + (
            ": on edges held out of its training" if version.space == "related" else ""
        )
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
    from twinvec.spaces import release_name, served_spaces

    served = {each.name: each for each in served_spaces()}.get(space)
    live = releases.live(workspace, release_name(served, workspace.settings)) if served is not None else None
    return live.version if live is not None else workspace.version(space)


def _print(title: str, figures: Mapping[str, object]) -> None:
    rows = [(name, _shown(value)) for name, value in figures.items() if name != "version"]
    print_table(title, ["figure", "value"], rows)


def _shown(value: object) -> object:
    """Return a count, which metrics keep as a float, as a whole number."""
    counts = isinstance(value, float) and value.is_integer() and value > 1
    return int(value) if counts else value  # type: ignore[call-overload]


def _slices(workspace: Workspace, space: str, as_json: bool) -> None:
    with shown() as progress:
        progress("ranking the test edges")
        from pipelines.evaluation.slices import evaluate_slices

        result = evaluate_slices(workspace, _judged(workspace, space))
    if as_json:
        print_json(result)
        return
    print_table(
        f"{result.version} on the edges held out of its training",
        ["edges", "number", "MRR@10", "Hits@10"],
        [(each.kind, each.edges, each.mrr_at_10, each.hits_at_10) for each in result.slices],
    )
    lists = result.shown
    print_table(
        "its lists of ten",
        ["figure", "value"],
        [
            ("lists, one a source", lists.lists),
            ("share of all products that are in a list", lists.coverage),
            ("categories in a list, on average", lists.categories),
            ("share of hits of another category than the source", lists.other_category),
        ],
    )
