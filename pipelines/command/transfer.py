"""`twinvec transfer`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json
from pipelines.command.progress import shown


def transfer(
    stores: Annotated[
        list[str],
        typer.Option("--from", help="Marketplace that lends; may be repeated, and may be the same."),
    ],
    to: Annotated[str, typer.Option("--to", help="Marketplace whose products with few events borrow.")],
    threshold: Annotated[
        float | None,
        typer.Option(
            min=-1,
            max=1,
            help="Least cosine of a lender. Default: the bound of substitutes of the live release.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="Most lenders of a product.")] = 3,
    established: Annotated[
        int,
        typer.Option(min=1, help="Least number of orders and views of a lender; products with fewer borrow."),
    ] = 5,
    as_json: AsJson = False,
) -> None:
    """Lend the behaviour of established products to like ones that have little, by the live release of similar."""
    workspace = open_workspace()
    with shown() as progress:
        from pipelines.transfer.pipeline import transfer as run

        made = run(workspace, stores, to, threshold, k, established, progress)
    if as_json:
        print_json(made)
        return
    typer.echo(
        f"{made.mapped:,} of {made.products:,} products of {made.to} with fewer than {made.established} events borrow "
        f"from {made.lenders:,} of {', '.join(made.stores)}, with a cosine of at least {made.threshold:.3f}, by "
        f"{made.release}\n"
        f"lent: {made.copurchase:,} pairs bought together and {made.coview:,} viewed together; {made.unsold:,} pairs "
        f"of lenders lead to nothing that {made.to} sells\n"
        f"transfer {made.name}: TWINVEC_GRAPH__TRANSFERRED='[\"{made.name}\"]' makes the graph use it"
    )
