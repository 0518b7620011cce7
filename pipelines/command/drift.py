"""`twinvec drift`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import shown

if TYPE_CHECKING:
    from pipelines.versions.distributions import Shift
    from pipelines.versions.drift import Drift


def drift(
    new: Annotated[str, typer.Argument(help="Newer version, such as text@v3.")],
    old: Annotated[str, typer.Argument(help="Older version to compare it with, such as text@v2.")],
    as_json: AsJson = False,
) -> None:
    """Show what changed between two versions of a space: norms, similarities, neighbours, products and content.

    The figures and plots are logged to MLflow, in the experiment twinvec/drift.
    """
    workspace = open_workspace()
    with shown() as progress:
        progress(f"comparing {new} with {old}")
        from pipelines.versions.drift import drift as compare

        result = compare(workspace, workspace.version(new), workspace.version(old), progress)
    if as_json:
        print_json(result)
        return
    print_table(
        f"From {result.old} to {result.new}",
        ["what", result.new, result.old, "distance"],
        [*_products(result), *_distributions(result)],
    )
    print_table(
        "Products and their neighbours",
        ["shared", "new", "gone", "overlap of the nearest 10"],
        [(result.shared, result.added, result.gone, result.overlap_at_10)],
    )
    of_old, of_new = result.content["old"].snapshot, result.content["new"].snapshot
    typer.echo(f"{result.old} is of snapshot {of_old}, {result.new} of {of_new}")
    typer.echo(f"MLflow: run {result.run} of the experiment twinvec/drift")


def _products(result: Drift) -> list[tuple[object, ...]]:
    new, old = result.content["new"], result.content["old"]
    return [
        ("products of the snapshot", new.products, old.products, None),
        ("share without text", new.without_text, old.without_text, None),
        ("share without image", new.without_image, old.without_image, None),
        ("share without vector", new.without_vector, old.without_vector, None),
    ]


def _distributions(result: Drift) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    shifts: dict[str, Shift] = {f"norm of {field}": shift for field, shift in result.norms.items()}
    for name, shift in (shifts | {"similarity of pairs": result.similarities}).items():
        rows.append((f"{name}, mean", shift.new.mean, shift.old.mean, shift.distance))
        rows.append((f"{name}, std", shift.new.std, shift.old.std, None))
        rows.append((f"{name}, 5 %", shift.new.p5, shift.old.p5, None))
        rows.append((f"{name}, median", shift.new.median, shift.old.median, None))
        rows.append((f"{name}, 95 %", shift.new.p95, shift.old.p95, None))
    return rows
