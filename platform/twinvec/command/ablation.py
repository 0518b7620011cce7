"""`twinvec ablate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from twinvec.command.app import open_workspace
from twinvec.command.output import AsJson, markdown_table, print_json, print_table
from twinvec.command.progress import shown
from twinvec.command.training import SnapshotId

if TYPE_CHECKING:
    from pipelines.evaluation import ablation, links_table, models_table, related_table
    from pipelines.sellers import ablation as sellers_ablation

    SideBySide = related_table.Row | links_table.Row | models_table.Row | sellers_ablation.Row

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
    if subject not in (Subject.TEXT, Subject.IMAGE) and by is Task.COVIEWS:
        raise typer.BadParameter(f"{subject.value} are not judged by co-views", param_hint="--by")
    workspace = open_workspace()
    rows: Sequence[ablation.Row | SideBySide]
    with shown() as progress:
        chosen = workspace.snapshot(snapshot)
        if subject is Subject.RELATED:
            from pipelines.evaluation.related_table import compare as compare_related

            rows = compared = compare_related(workspace, chosen, progress, schemes)
            table = _side_by_side(
                "Related products on held-out edges (MRR@10 with its 95% interval)", compared
            )
        elif subject is Subject.LINKS:
            from pipelines.evaluation.links_table import compare as compare_links

            rows = linked = compare_links(workspace, chosen, progress, schemes)
            table = _side_by_side("Links between co-purchases, ten random pairs a held-out edge", linked)
        elif subject is Subject.MODELS:
            from pipelines.evaluation.models_table import compare as compare_models

            rows = modelled = compare_models(workspace, chosen, progress, schemes)
            table = _side_by_side(
                "Models of related on held-out edges (MRR@10 with its 95% interval)", modelled
            )
        elif subject is Subject.ALIGNMENT:
            from pipelines.evaluation.alignment_table import compare as compare_contents

            rows = contents = compare_contents(workspace, chosen, progress, schemes)
            table = _side_by_side("Related products by content (MRR@10 with its 95% interval)", contents)
        elif subject is Subject.GRAPH:
            from pipelines.evaluation.graph_table import compare as compare_graphs

            rows = graphs = compare_graphs(workspace, chosen, progress, schemes)
            table = _side_by_side(
                "Related products by graph and training (MRR@10 with its 95% interval)", graphs
            )
        elif subject is Subject.WAML:
            from pipelines.sellers.ablation import compare as compare_parts

            rows = parts = compare_parts(workspace, chosen, progress, schemes)
            k = workspace.settings.sellers.recall_at
            table = _side_by_side(f"Recall@{k} of offers held out, by the product's other offers", parts)
        else:
            from pipelines.evaluation.ablation import ablate as compare_schemes

            encoder: Literal["text", "image"] = "text" if subject is Subject.TEXT else "image"
            task = by or (Task.COVIEWS if subject is Subject.TEXT else Task.RELATED)
            rows = trained = compare_schemes(workspace, chosen, encoder, task.value, progress, schemes)
            table = _schemes(encoder, task, trained)
    title, columns, lines = table
    if output is not None:
        from twinvec.files import write_text

        write_text(output, f"{title}, on snapshot `{chosen.id}`.\n\n{markdown_table(columns, lines)}")
    print_json(rows) if as_json else print_table(title, columns, lines)


def _side_by_side(title: str, rows: Sequence[SideBySide]) -> Table:
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
