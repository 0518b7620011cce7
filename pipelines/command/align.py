"""`twinvec align`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import shown
from pipelines.versions.kind import Kind


def align(
    read: Annotated[str, typer.Argument(help="Version to align, such as related@v7.")],
    onto: Annotated[
        str, typer.Option("--onto", help="Version whose space it is aligned to, such as related@v6.")
    ],
    kind: Annotated[
        Kind,
        typer.Option(
            "--kind",
            help="`orthogonal` turns all vectors alike, so that scores between them stay the same; `affine` fits "
            "more closely, each column by itself, also from another dimension.",
        ),
    ] = Kind.ORTHOGONAL,
    as_json: AsJson = False,
) -> None:
    """Align a version to the space of an older one, for those who trained on that, as <space>_onto@v<N>.

    The transform is fitted on some products that both versions have; the loss in retrieval is measured on others.
    """
    workspace = open_workspace()
    with shown() as progress:
        progress(f"aligning {read} onto {onto}")
        from pipelines.versions.align import align as make

        made = make(workspace, workspace.version(read), workspace.version(onto), kind, progress)
    version = made.version
    if as_json:
        print_json(
            {"version": version.name, "view": version.view, "made": made.made, "metrics": version.metrics}
        )
        return
    print_table(
        f"{version.name}: {read} in the space of {onto}, on {version.metrics['held_out']:,.0f} products not fitted",
        ["vectors that a vector of the older version searches", "recall@10", "MRR@10 of the same product"],
        _rows(version.metrics, read),
    )
    typer.echo(f"Feast: the view {version.view}" + ("" if made.made else ", which was there already"))


def _rows(figures: Mapping[str, float], read: str) -> list[tuple[object, ...]]:
    return [
        (f"{read} as it is", figures.get("recall_at_10_before"), figures.get("same_mrr_at_10_before")),
        (f"{read} aligned", figures["recall_at_10"], figures["same_mrr_at_10"]),
        (f"{read} aligned, searched by its own", figures["recall_at_10_both_aligned"], None),
    ]
