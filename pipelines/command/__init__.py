"""The `twinvec` command. What a command needs is imported when it runs, so that `--help` is quick."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.command import (
    ablation,
    align,
    catalogue,
    demo,
    doctor,
    drift,
    evaluation,
    events,
    exchange,
    lineage,
    plot,
    prune,
    query,
    releases,
    relevance,
    sellers,
    serving,
    similar,
    status,
    training,
    transfer,
    update,
)
from pipelines.command.app import app, start
from pipelines.command.late_help import LateHelp

__all__ = ["app", "main"]

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo.demo,
    "ingest": catalogue.ingest,
    "run": training.run,
    "train": training.train,
    "import": exchange.import_,
    "evaluate": evaluation.evaluate,
    "ablate": ablation.ablate,
    "plot": plot.plot,
    "align": align.align,
    "drift": drift.drift,
    "publish": releases.publish,
    "promote": releases.promote,
    "rollback": releases.rollback,
    "update": update.update,
    "prune": prune.prune,
    "doctor": doctor.doctor,
    "lineage": lineage.lineage,
    "related": query.related,
    "similar": similar.similar,
    "transfer": transfer.transfer,
    "relevance": relevance.relevance,
    "serve": serving.serve,
    "status": status.status,
    "settings": status.settings,
}
for name, function in COMMANDS.items():
    app.command(name, cls=LateHelp)(function)
app.add_typer(exchange.exports, name="export")
app.add_typer(sellers.sellers, name="sellers")
app.add_typer(serving.keys, name="keys")
app.add_typer(events.report, name="report")
app.add_typer(events.events, name="events")
app.callback()(start)


def main() -> None:
    """Run the command with the arguments of the process, and exit."""
    app(prog_name="twinvec")
