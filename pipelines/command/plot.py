"""`twinvec plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import shown


def plot(
    version: Annotated[
        str, typer.Argument(help="Version to draw, as `related@v3`, or a space, for its latest version.")
    ] = "related",
    level: Annotated[int, typer.Option(min=1, help="Level of the categories that give the colours.")] = 1,
    folder: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write the pictures into this folder.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Place the products anew, even if the version has a map.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Draw a map of a version's products and, if a release serves it, its index's recall over time a query.

    The places of all products are kept with the version, for the page /explore of `twinvec serve`. The pictures are
    added to the version's run in MLflow, beside its training curves.
    """
    workspace = open_workspace()
    chosen = workspace.version(version)
    with shown() as progress:
        progress(f"drawing the map of {chosen.name}")
        from pipelines.evaluation import index_curve, maps
        from twinvec import releases, tracking

        pictures = {f"{chosen.space}-map.png": maps.draw_version(workspace, chosen, level, progress, again)}
        live = releases.live(workspace)
        points = []
        if live is not None and live.version.id == chosen.id:
            progress(f"asking {live.collection}")
            points = index_curve.measure_release(workspace, live)
            ef = workspace.index.search_ef(live.collection)
            pictures[f"{chosen.space}-index.png"] = index_curve.draw(live.collection, points, ef)
        tracking.log_pictures(workspace.settings, chosen.run_id, pictures)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for name, picture in pictures.items():
                picture.savefig(folder / name, dpi=110)
    workspace.index.close()
    if as_json:
        print_json({"version": chosen.name, "run": chosen.run_id, "pictures": [*pictures], "index": points})
        return
    typer.echo(f"{chosen.name}: {', '.join(pictures)} in MLflow's run {chosen.run_id}")
    if points:
        rows = [("exact" if p.ef is None else p.ef, p.recall, p.p50_ms, p.p99_ms) for p in points]
        print_table("Recall@10 and milliseconds a query", ["ef", "recall@10", "p50", "p99"], rows)
