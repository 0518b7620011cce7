"""`twinvec sellers`: recommend, publish, reduction, store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import shown
from pipelines.command.query import columns_of
from pipelines.command.rules import Exclude, MaxPerBrand, MaxPerCategory, MinScore, Where
from twinvec.errors import StateError

sellers = typer.Typer(
    help="Products to recommend to sellers; `twinvec train sellers` trains what they are found by.",
    no_args_is_help=True,
)


@sellers.command()
def recommend(
    seller_id: Annotated[str, typer.Argument(help="The seller to recommend to.")],
    top: Annotated[int, typer.Option("--top", "-n", min=1, max=1000, help="How many products to find.")] = 10,
    version: Annotated[
        str | None,
        typer.Option(help="A version, as `sellers@v2`; if not given what is published, or else the latest."),
    ] = None,
    exclude: Exclude = None,
    min_score: MinScore = None,
    where: Where = None,
    max_per_brand: MaxPerBrand = None,
    max_per_category: MaxPerCategory = None,
    as_json: AsJson = False,
) -> None:
    """Show candidate products that a seller does not offer, the best first."""
    from twinvec.serving.answering import Question
    from twinvec.serving.opening import open_answerer
    from twinvec.serving.rules import Condition, Rules
    from twinvec.serving.sellers import recommend_by_rules

    rules = Rules(
        exclude=tuple(exclude or ()),
        min_score=min_score,
        where=tuple(map(Condition.parse, where or ())),
        max_per_brand=max_per_brand,
        max_per_category=max_per_category,
    )
    workspace = open_workspace()
    recommended = recommend_by_rules(
        workspace, open_answerer(workspace), seller_id, Question(top, rules=rules), version
    )
    if as_json:
        print_json(recommended)
        return
    rows = [(hit.score, *columns_of(hit.product)) for hit in recommended.hits]
    origin = recommended.release or recommended.version
    title = f"Recommended to {seller_id}, who offers {recommended.offers:,} products, by {origin}"
    print_table(title, ["score", "product", "title", "category", "price"], rows)


@sellers.command()
def publish(
    version: Annotated[
        str, typer.Argument(help="A version, as `sellers@v2`; the latest if not given.")
    ] = "sellers",
    as_json: AsJson = False,
) -> None:
    """Put a version's candidates into Qdrant and its sellers online, verify them, and make them live."""
    workspace = open_workspace()
    with shown() as progress:
        from twinvec import releases

        release = releases.publish(workspace, workspace.version(version), progress.count)
        if release.state != "live":
            release = releases.promote(workspace, release, progress.count, "published")
    if as_json:
        print_json({"release": release.collection, "version": release.version.name, **release.verification})
        return
    verified = release.verification
    typer.echo(
        f"live: {release.collection}, of {release.version.name}: {verified['points']:,} candidates, "
        f"recall@10 {verified['recall_at_10']:.3f}"
    )


@sellers.command()
def reduction(
    version: Annotated[
        str, typer.Option(help="A version, as `seller_products@v2`; the latest if not given.")
    ] = "seller_products",
    as_json: AsJson = False,
) -> None:
    """Show what the graph reduction of a version kept (WAML, Table 5)."""
    made = open_workspace().version(version)
    file = Path(made.path) / "reduction.json"
    if not file.is_file():
        raise StateError(
            f"{made.name} has no graph reduction: it was imported, or is not of seller_products",
            "name a version of seller_products that `twinvec train sellers` made",
        )
    record = json.loads(file.read_text(encoding="utf-8"))
    if as_json:
        print_json({"version": made.name, **record})
        return
    print_table(
        f"Graph reduction of {made.name}",
        ["what", "before", "after"],
        [tuple(row.values()) for row in record["counts"]],
    )
    typer.echo(
        f"{record['bounded_customers']:,} customers had more products than are linked: "
        f"{record['interactions_left_out']:,} interactions were left out"
    )


@sellers.command()
def store(
    folder: Annotated[Path, typer.Argument(help="A new folder, or that of a synthetic store.")],
    size: Annotated[
        str, typer.Option(help="Size of the store: tiny (500 products), small, medium, large or huge.")
    ] = "tiny",
    seed: Annotated[int, typer.Option(help="The same seed makes the same store.")] = 0,
    listings: Annotated[
        bool, typer.Option("--listings", help="Also write listings in four marketplaces, one of them small.")
    ] = False,
    searches: Annotated[
        bool,
        typer.Option(
            "--searches", help="Also write search queries, judged products and purchases after queries."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a synthetic store with sellers and customers; `twinvec ingest FOLDER --format parquet` reads it."""
    with shown() as progress:
        from twinvec.catalogue.synthetic import generate

        made = generate(
            folder, size, seed, sellers=True, searches=searches, listings=listings, progress=progress
        )
    if as_json:
        print_json(made)
        return
    searched = f", {made.queries:,} queries and {made.judgements:,} judgements" if searches else ""
    typer.echo(
        f"{made.products:,} products, {made.offers:,} offers and {made.interactions:,} interactions{searched} in "
        f"{made.folder}"
    )
