"""`twinvec related` and `twinvec serve`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import shown
from twinvec.errors import NotFoundError

if TYPE_CHECKING:
    from twinvec.serving.related import Product, Recommender, Related
    from twinvec.settings import Settings
    from twinvec.vectors.index import Filters

REASONS = 3
NEW = "A product that is not in the catalogue"


def related(
    product_id: Annotated[
        str | None, typer.Argument(help="The product to start from; not given for one that is new.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many to find.")] = 10,
    title: Annotated[
        str | None, typer.Option(help="Title of a product that is not in the catalogue.", rich_help_panel=NEW)
    ] = None,
    category: Annotated[
        str | None,
        typer.Option(
            help="Its category: the path, as 'Music > Jazz', or the name alone.", rich_help_panel=NEW
        ),
    ] = None,
    image: Annotated[Path | None, typer.Option(help="A file with its image.", rich_help_panel=NEW)] = None,
    in_category: Annotated[
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
    why: Annotated[
        bool, typer.Option("--why", help="Tell what spoke for each product of the list, the strongest first.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the products most related to one, from the live release.

    The one is a product of the catalogue, named by its id, or a new one, described by --title, --category and
    --image, or some of them: it is encoded as the catalogue was.
    """
    from twinvec.settings import load_settings
    from twinvec.vectors.index import Filters

    described = title is not None or category is not None or image is not None
    if described == (product_id is not None):
        raise typer.BadParameter(
            "give either the id of a product, or --title, --category and --image of one that is not in the "
            "catalogue (--in-category chooses among what is found)"
        )
    if why and described:
        raise typer.BadParameter(
            "--why is for products of the catalogue: a new one is answered without a list"
        )
    settings = load_settings()
    filters = Filters(tuple(in_category or ()), tuple(marketplace or ()), min_price, max_price)
    if filters != Filters():
        from twinvec.serving.choices import check_filters

        with closing(open_recommender(settings).index) as index:
            check_filters(index, settings.release, filters)
    if product_id is not None and why:
        answer = explained(product_id, k, filters)
    elif product_id is not None:
        answer = open_recommender(settings).related(product_id, k, filters)
    else:
        answer = related_to_new(title, category, image, k, filters)
    print_json(answer) if as_json else print_related(answer)


def explained(product_id: str, k: int, filters: Filters) -> Related:
    """Return the products related to one, with the reasons of those from its list."""
    from pipelines.ranking.explaining import Explainer
    from twinvec.serving.related import Recommender

    workspace = open_workspace()
    settings = workspace.settings
    recommender = Recommender(workspace.index, settings.release, settings.qdrant.ef, settings.paths.versions)
    answer = recommender.related(product_id, k, filters)
    with shown() as progress:
        progress("loading the ranker of the live release")
        return Explainer(workspace).explain(answer)


def related_to_new(
    title: str | None, category: str | None, image: Path | None, k: int, filters: Filters
) -> Related:
    """Return the products related to one that is not in the catalogue.

    Raises:
        NotFoundError: If there is no such image file.
    """
    from twinvec.serving.related import NewProduct

    workspace = open_workspace()
    content = read_image(image, workspace.settings.image.max_bytes) if image is not None else None
    with shown() as progress:
        progress("loading the encoders of the live release")
        from pipelines.cold_start.service import ColdStart

        return ColdStart(workspace).related(NewProduct(title, category, content), k, filters)


def read_image(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of an image file, at most one more than `max_bytes`.

    Raises:
        NotFoundError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise NotFoundError(
            f"the image {path} cannot be read: {error.strerror}", "name an image file, or leave --image out"
        ) from error


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serve related products over HTTP; /docs describes the API."""
    import uvicorn

    from pipelines.cold_start.service import ColdStart
    from pipelines.ranking.explaining import Explainer
    from twinvec.serving.api import create_app
    from twinvec.serving.related import Recommender

    workspace = open_workspace()
    settings = workspace.settings
    # One index for both: Qdrant Edge keeps what it has open in memory.
    recommender = Recommender(workspace.index, settings.release, settings.qdrant.ef, settings.paths.versions)
    app = create_app(recommender, ColdStart(workspace), Explainer(workspace))
    uvicorn.run(app, host=host, port=port)


def open_recommender(settings: Settings) -> Recommender:
    """Return a recommender over the index that the settings name."""
    from twinvec.serving.related import Recommender
    from twinvec.vectors import open_index

    return Recommender(open_index(settings), settings.release, settings.qdrant.ef, settings.paths.versions)


def print_related(answer: Related) -> None:
    """Print a product and its related products."""
    product = answer.product
    names = ["score", "product", "title", "category", "price"]
    rows: list[tuple[object, ...]] = [(None, *_columns(product))]
    rows += [(hit.score, *_columns(hit.product)) for hit in answer.hits]
    if any(hit.reasons is not None for hit in answer.hits):
        names.append("why")
        reasons = [None, *(_strongest(hit.reasons) for hit in answer.hits)]
        rows = [(*row, reason) for row, reason in zip(rows, reasons, strict=True)]
    title = product.title or product.product_id or "a new product"
    print_table(f"Related to {title} in {answer.release}", names, rows)


def _strongest(reasons: Mapping[str, float] | None) -> str | None:
    """Return the kinds of evidence that raised a score most."""
    if reasons is None:
        return None
    return ", ".join(f"{kind} {value:+.2f}" for kind, value in list(reasons.items())[:REASONS] if value > 0)


def _columns(product: Product) -> tuple[object, ...]:
    price = f"{product.price:,.2f}" if product.price is not None else None
    return product.product_id, product.title, product.category, price
