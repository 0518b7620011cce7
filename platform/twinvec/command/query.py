"""`twinvec related` and `twinvec serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from twinvec.command.output import AsJson, print_json, print_table

if TYPE_CHECKING:
    from twinvec.serving.related import Product, Recommender, Related
    from twinvec.settings import Settings


def related(
    product_id: Annotated[str, typer.Argument(help="The product to start from.")],
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many to find.")] = 10,
    category: Annotated[
        list[str] | None, typer.Option(help="Find products of this category, at any level; may be repeated.")
    ] = None,
    marketplace: Annotated[
        list[str] | None, typer.Option(help="Find products of this marketplace; may be repeated.")
    ] = None,
    min_price: Annotated[
        float | None, typer.Option(min=0, help="Find products at this price or more.")
    ] = None,
    max_price: Annotated[
        float | None, typer.Option(min=0, help="Find products at this price or less.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the products most related to one, from the live release."""
    from twinvec.settings import load_settings
    from twinvec.vectors.index import Filters

    filters = Filters(tuple(category or ()), tuple(marketplace or ()), min_price, max_price)
    found = open_recommender(load_settings()).related(product_id, k, filters)
    print_json(found) if as_json else print_related(found)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serve related products over HTTP; /docs describes the API."""
    import uvicorn

    from twinvec.serving.api import create_app
    from twinvec.settings import load_settings

    uvicorn.run(create_app(open_recommender(load_settings())), host=host, port=port)


def open_recommender(settings: Settings) -> Recommender:
    """What answers queries, with the index that the settings name."""
    from twinvec.serving.related import Recommender
    from twinvec.vectors import open_index

    return Recommender(open_index(settings), settings.release, settings.qdrant.ef)


def print_related(found: Related) -> None:
    """Print a product and what was found for it."""
    asked = found.product
    rows = [(None, *_columns(asked)), *((hit.score, *_columns(hit.product)) for hit in found.hits)]
    print_table(
        f"Related to {asked.title or asked.product_id} in {found.release}",
        ["score", "product", "title", "category", "price"],
        rows,
    )


def _columns(product: Product) -> tuple[object, ...]:
    price = f"{product.price:,.2f}" if product.price is not None else None
    return product.product_id, product.title, product.category, price
