"""`twinvec events export` and `twinvec report ab`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table

events = typer.Typer(help="What visitors did with answers of the HTTP API.", no_args_is_help=True)
report = typer.Typer(help="Reports of what is served.", no_args_is_help=True)


@events.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder that gets views.parquet and orders.parquet.")],
    as_json: AsJson = False,
) -> None:
    """Write clicks as views and purchases as orders, as `twinvec ingest --format orders` reads them."""
    from twinvec.serving.events import export_events

    settings = open_workspace().settings
    rows = export_events(settings, folder)
    if as_json:
        print_json({"folder": folder, "rows": rows})
        return
    typer.echo(f"{rows['views']:,} views and {rows['orders']:,} orders in {folder}")


@report.command()
def ab(
    alpha: Annotated[
        float, typer.Option(min=0.0001, max=0.5, help="Chance of a wrong decision, however often you look.")
    ] = 0.05,
    log: Annotated[bool, typer.Option(help="Log the figures to MLflow.")] = True,
    as_json: AsJson = False,
) -> None:
    """Show the share of visitors of each arm who clicked and who bought, and whether that is decided.

    Visitors are counted, not events: those of one visitor are not independent. The bounds of a difference hold at every
    look together, so it may be stopped as soon as it is decided.
    """
    from twinvec.serving.report import log_arms, report_arms

    settings = open_workspace().settings
    arms = report_arms(settings, alpha)
    if log:
        log_arms(settings, arms)
    if as_json:
        print_json(arms)
        return
    rows = [
        (
            arm.name,
            arm.release,
            arm.clicked.total,
            *(
                text
                for each in (arm.clicked, arm.bought)
                for text in (each.value, f"{each.low:.4f} – {each.high:.4f}")
            ),
            *(
                "–"
                if each is None
                else f"{each.value:+.4f} ({each.low:+.4f}, {each.high:+.4f})"
                + (", decided" if each.decided else "")
                for each in (arm.clicks_more, arm.purchases_more)
            ),
        )
        for arm in arms
    ]
    names = ["arm", "release", "visitors", "clicked", "interval", "bought", "interval"]
    print_table(f"Against {arms[0].name}", [*names, "clicked more", "bought more"], rows)
