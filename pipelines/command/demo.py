"""`twinvec demo`: the whole road on the synthetic store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json
from pipelines.command.progress import ProgressDisplay, shown
from pipelines.command.query import print_related
from pipelines.command.training import print_steps
from twinvec.errors import StateError

if TYPE_CHECKING:
    from twinvec.catalogue.snapshot import Snapshot
    from twinvec.workspace import Workspace

SHOWN = 4
# By the settings it would take minutes; of so few products, a short training of the text encoder does harm.
BRIEF: dict[str, dict[str, Any]] = {"text": {"scheme": "pretrained"}}
# The most bought product of each category whose products lead to purchases elsewhere; a category, once.
MOST_BOUGHT = """
    WITH bought AS (
        SELECT product_id, sum(count) AS times
        FROM (SELECT source AS product_id, count FROM copurchase
              UNION ALL SELECT target, count FROM copurchase)
        GROUP BY product_id
    ), best AS (
        SELECT category, arg_max(product_id, (times, product_id)) AS product_id, max(times) AS times,
               median(price) AS price
        FROM bought JOIN products USING (product_id)
        GROUP BY category
    )
    SELECT product_id FROM best ORDER BY price DESC, product_id LIMIT $limit
"""


def demo(
    size: Annotated[
        str, typer.Option(help="Size of the store: tiny (500 products), small, medium, large or huge.")
    ] = "tiny",
    seed: Annotated[int, typer.Option(help="The same seed makes the same store.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Take a synthetic store through the whole road, and show related products.

    Everything goes into the configured home (`twinvec settings`), where a later demo finds it again. The text encoder
    is not trained, which `twinvec run` makes good.
    """
    from pipelines.evaluation.layout import map_of
    from twinvec.releases.refresh import refresh
    from twinvec.serving.answering import Question
    from twinvec.serving.opening import open_answerer

    workspace = open_workspace(**BRIEF)
    folder = workspace.settings.paths.demo / f"{size}-{seed}"
    with shown() as progress:
        _refuse_other_releases(workspace)
        snapshot = _snapshot(workspace, folder, size, seed, progress)
        refreshed = refresh(workspace, snapshot, False, progress, progress.count)
        if refreshed.refused is not None:
            raise refreshed.refused
        if refreshed.live is not None:
            map_of(workspace, refreshed.live.version, progress)
        answerer = open_answerer(workspace)
        answers = [answerer.related(product, Question(5)) for product in _most_bought(snapshot)]
    if as_json:
        live = refreshed.live
        print_json({"live": live and live.collection, "related": answers})
        return
    print_steps(refreshed.steps)
    for each in answers:
        print_related(each)
    typer.echo(
        f"All of it is in {workspace.settings.home}: `twinvec status` shows what, "
        f"`twinvec related {answers[0].product.product_id}` asks for more, "
        "`twinvec serve` has a page to look at, /explore.\n"
        "The text encoder was taken as it is: `twinvec run` trains it by the settings."
    )


def _refuse_other_releases(workspace: Workspace) -> None:
    """Refuse to replace a live release that is not a demo's."""
    from twinvec import releases

    live = releases.live(workspace)
    demos = workspace.settings.paths.demo
    if live is not None and not Path(live.version.snapshot.source).is_relative_to(demos):
        raise StateError(
            f"{live.collection} is live in {workspace.settings.home}, made from {live.version.snapshot.source}; "
            "a demo would take its place",
            "run the demo in another home: `TWINVEC_HOME=demo twinvec demo`",
        )


def _snapshot(
    workspace: Workspace, folder: Path, size: str, seed: int, progress: ProgressDisplay
) -> Snapshot:
    """Return the snapshot of the store, made if it does not exist."""
    from registry.database import transaction
    from registry.snapshots import all_snapshots

    with transaction(workspace.engine) as session:
        existing = [row for row in all_snapshots(session) if row.source == str(folder)]
    if existing:
        return workspace.snapshot(existing[-1].id)
    from twinvec.catalogue.ingest import ingest
    from twinvec.catalogue.synthetic.store import generate

    if not folder.is_dir():
        generate(folder, size, seed, progress=progress)
    return ingest(folder, "parquet", workspace.settings, workspace.engine, progress).snapshot


def _most_bought(snapshot: Snapshot) -> list[str]:
    with snapshot.connect() as connection:
        rows = connection.execute(MOST_BOUGHT, {"limit": SHOWN}).fetchall()
    return [product for (product,) in rows]
