"""`twinvec relevance`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import shown


def relevance(
    query: Annotated[str | None, typer.Argument(help="Words of a search; not given with --pairs.")] = None,
    products: Annotated[list[str] | None, typer.Argument(help="Products of the catalogue.")] = None,
    locale: Annotated[
        str | None, typer.Option(help="Region whose customer asks; that with most judgements if not given.")
    ] = None,
    title: Annotated[
        list[str] | None,
        typer.Option(help="Title of a product that is not in the catalogue; may be repeated."),
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="Release to ask, as `v3`; the live one if not given.")
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="Parquet file of pairs: `product_id`, `query_id` or `query`, and perhaps `locale`."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Parquet file for the labels of --pairs.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell how relevant products are to a query: exact, substitute, complement or irrelevant.

    One query and its products are answered by the live release, or by another that is named. With --pairs, a whole
    file is answered by the live one, in batches; its labels are also kept as the feature view
    `relevance_labels__v<N>`, with query and product as keys.
    """
    if (pairs is None) == (query is None) or (pairs is None) != (output is None):
        raise typer.BadParameter("give a query and products, or --pairs and --output")
    if query is not None and not (products or title):
        raise typer.BadParameter("give at least one product for the query, or --title of one that is new")
    if pairs is not None and (title or release):
        raise typer.BadParameter("--pairs asks the live release about products of the catalogue")
    workspace = open_workspace()
    with shown() as progress:
        progress("loading the models of the live release")
        from pipelines.relevance.labels import label_pairs
        from pipelines.relevance.service import RelevanceService
        from twinvec.serving.related import NewProduct

        service = RelevanceService(workspace)
        if pairs is not None and output is not None:
            labelled = label_pairs(workspace, service.opened()[1], pairs, output, progress)
        else:
            asked: list[str | NewProduct] = [*(products or []), *map(NewProduct, title or [])]
            answer = service.relevance(query or "", asked, locale, release)
    if pairs is not None:
        if as_json:
            print_json(labelled)
            return
        typer.echo(
            f"{labelled.pairs:,} pairs in {labelled.output} and as {labelled.version}, {labelled.by_graph:,} of them "
            f"with purchases, {labelled.pairs_per_second:,.0f} a second; left out: {labelled.unknown_products:,} of "
            f"unknown products, {labelled.unknown_queries:,} of unknown queries"
        )
        return
    if as_json:
        print_json(answer)
        return
    names = list(answer.products[0].probabilities)
    known = "known" if answer.known_query else "unknown"
    print_table(
        f"{answer.query!r} in {answer.locale}, a query that is {known}, by {answer.release} ({answer.model})",
        ["product", "label", *names, "purchases"],
        [
            (each.product_id or "(new)", each.label, *each.probabilities.values(), each.by_graph)
            for each in answer.products
        ],
    )
