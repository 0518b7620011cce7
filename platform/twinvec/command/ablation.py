"""`twinvec ablate`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from twinvec.command.app import open_workspace
from twinvec.command.output import AsJson, print_json, print_table
from twinvec.command.progress import shown
from twinvec.command.training import SnapshotId


class Encoder(StrEnum):
    """What can be ablated."""

    TEXT = "text"
    IMAGE = "image"


class Task(StrEnum):
    """What the variants are judged by."""

    COVIEWS = "coviews"
    RELATED = "related"


def ablate(
    space: Annotated[Encoder, typer.Argument(help="The encoder whose training schemes are compared.")],
    by: Annotated[
        Task | None,
        typer.Option(
            "--by",
            help="Judge them by `coviews` found with the encoder's vectors, or by `related` products found with the "
            "whole model; text by coviews and image by related if not given.",
        ),
    ] = None,
    schemes: Annotated[
        list[str] | None, typer.Option("--scheme", help="A row; may be repeated. The paper's if not given.")
    ] = None,
    snapshot: SnapshotId = None,
    as_json: AsJson = False,
) -> None:
    """Compare the ways of training one encoder, as the paper's Tables 6 (text) and 7 (image) do."""
    workspace = open_workspace()
    task = by or (Task.COVIEWS if space is Encoder.TEXT else Task.RELATED)
    with shown() as progress:
        from pipelines.evaluation.ablation import FIGURES
        from pipelines.evaluation.ablation import ablate as compare

        rows = compare(workspace, workspace.snapshot(snapshot), space.value, task.value, progress, schemes)
    if as_json:
        print_json(rows)
        return
    titles = ["Hits@1", "Hits@3", "Hits@5", "MRR@10"]
    print_table(
        f"{space.value}.scheme by {task.value}, and relative to {rows[0].scheme}",
        ["scheme", "version", *titles, *(f"{title} ×" for title in titles)],
        [
            (
                row.scheme,
                row.version,
                *(row.figures[name] for name in FIGURES),
                *(row.relative[name] for name in FIGURES),
            )
            for row in rows
        ],
    )
