"""`twinvec ablate`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import asdict, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, markdown_table, print_json, print_table
from pipelines.command.progress import shown
from pipelines.command.training import SnapshotId

if TYPE_CHECKING:
    from pipelines.evaluation import ablation
    from pipelines.evaluation.rows import Row

TITLES = {
    "hits_at_1": "Hits@1",
    "hits_at_3": "Hits@3",
    "hits_at_5": "Hits@5",
    "hits_at_10": "Hits@10",
    "mrr_at_10": "MRR@10",
    "mrr": "MRR",
    "mrr_low": "from",
    "mrr_high": "to",
    "auc_random": "AUC-random",
    "auc_dir": "AUC-dir",
    "auc_dir_calibrated": "calibrated",
    "right_way": "right way",
    "epochs": "epochs",
    "seconds_an_epoch": "s an epoch",
    "seconds": "seconds",
    "peak_memory_mib": "peak MiB",
    "parameters": "parameters",
    "recall": "Recall",
    "relative": "×",
    "recall_0": "no offer",
    "recall_1_to_3": "1 to 3",
    "recall_4_to_9": "4 to 9",
    "alphas": "α",
}
Table = tuple[str, list[str], list[tuple[object, ...]]]


class Subject(StrEnum):
    """What can be compared."""

    TEXT = "text"
    IMAGE = "image"
    RELATED = "related"
    LINKS = "links"
    MODELS = "models"
    ALIGNMENT = "alignment"
    GRAPH = "graph"
    WAML = "waml"


# Subjects that are no encoder → the module whose `compare` gives the rows, by name, since it imports torch; the title.
TABLES = {
    Subject.RELATED: (
        "pipelines.evaluation.related_table",
        "Related products on held-out edges (MRR@10 with its 95% interval)",
    ),
    Subject.LINKS: (
        "pipelines.evaluation.links_table",
        "Links between co-purchases, ten random pairs a held-out edge",
    ),
    Subject.MODELS: (
        "pipelines.evaluation.models_table",
        "Models of related on held-out edges (MRR@10 with its 95% interval)",
    ),
    Subject.ALIGNMENT: (
        "pipelines.evaluation.alignment_table",
        "Related products by content (MRR@10 with its 95% interval)",
    ),
    Subject.GRAPH: (
        "pipelines.evaluation.graph_table",
        "Related products by graph and training (MRR@10 with its 95% interval)",
    ),
    Subject.WAML: (
        "pipelines.sellers.ablation",
        "Recall@{settings.sellers.recall_at} of offers held out, by the product's other offers",
    ),
}


class Task(StrEnum):
    """What the variants of an encoder are judged by."""

    COVIEWS = "coviews"
    RELATED = "related"


def ablate(
    subject: Annotated[
        Subject,
        typer.Argument(
            help="The encoder whose training schemes are compared; or `related`, the products that models and "
            "baselines find; or `links`, the co-purchases they predict; or `models`, what they cost; or `waml`, the "
            "parts of the model that recommends to sellers; or `alignment`, kinds of content; or `graph`, ways of "
            "making it, of sampling it and of training on it."
        ),
    ],
    by: Annotated[
        Task | None,
        typer.Option(
            "--by",
            help="Judge encoders by `coviews` found with their vectors, or by `related` products found with the "
            "whole model; text by coviews and image by related if not given.",
        ),
    ] = None,
    schemes: Annotated[
        list[str] | None,
        typer.Option("--scheme", "--row", help="A row; may be repeated. The paper's if not given."),
    ] = None,
    snapshot: SnapshotId = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write the table to this file, in Markdown.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the ways of training an encoder, or our models with each other and with the usual baselines.

    As the paper's Tables 6 (text), 7 (image), 2 and 3 (related), 4 and 5 (links) and 8 (alignment) do.
    """
    if subject in TABLES and by is Task.COVIEWS:
        raise typer.BadParameter(f"{subject.value} are not judged by co-views", param_hint="--by")
    workspace = open_workspace()
    with shown() as progress:
        chosen = workspace.snapshot(snapshot)
        if subject in TABLES:
            module, title = TABLES[subject]
            rows = importlib.import_module(module).compare(workspace, chosen, progress, schemes)
            table = _side_by_side(title.format(settings=workspace.settings), rows)
        else:
            task = by or (Task.COVIEWS if subject is Subject.TEXT else Task.RELATED)
            compare = importlib.import_module("pipelines.evaluation.ablation").ablate
            rows = compare(workspace, chosen, subject.value, task.value, progress, schemes)
            table = _schemes(subject, task, rows)
    title, columns, lines = table
    if output is not None:
        from twinvec.files import write_text

        write_text(output, f"{title}, on snapshot `{chosen.id}`.\n\n{markdown_table(columns, lines)}")
    print_json(rows) if as_json else print_table(title, columns, lines)


def _side_by_side(title: str, rows: Sequence[Row]) -> Table:
    """Title, columns and rows."""
    columns = [TITLES[field.name] for field in fields(rows[0])[1:]] if rows else []
    return title, ["", *columns], [tuple(asdict(row).values()) for row in rows]


def _schemes(space: str, task: str, rows: Sequence[ablation.Row]) -> Table:
    """Title, columns and rows."""
    titles = [TITLES[name] for name in rows[0].figures]
    return (
        f"{space}.scheme by {task}, and relative to {rows[0].scheme}",
        ["scheme", *titles, *(f"{title} ×" for title in titles)],
        [(row.scheme, *row.figures.values(), *row.relative.values()) for row in rows],
    )
