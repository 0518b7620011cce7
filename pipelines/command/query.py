"""`twinvec related`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import shown
from pipelines.command.rules import RULES, Exclude, MaxPerBrand, MaxPerCategory, MinScore, Where
from twinvec.errors import NotFoundError

if TYPE_CHECKING:
    from twinvec.serving.answering import Question
    from twinvec.serving.product import Product
    from twinvec.serving.related import Related
    from twinvec.workspace import Workspace

REASONS = 3
NEW = "A product that is not in the catalogue"


def related(
    product_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PRODUCT_ID]...", help="The product to start from, or several; none for one that is new."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many to find.")] = 10,
    basket: Annotated[
        bool, typer.Option("--basket", help="Find one list for all the products together.")
    ] = False,
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
        list[str] | None,
        typer.Option(help="Find products of this marketplace, not the product's own; '*' for all."),
    ] = None,
    currency: Annotated[
        list[str] | None, typer.Option(help="Find products priced in this currency; may be repeated.")
    ] = None,
    min_price: Annotated[
        float | None, typer.Option(min=0, help="Find products at this price or more, in the own currency.")
    ] = None,
    max_price: Annotated[
        float | None, typer.Option(min=0, help="Find products at this price or less, in the own currency.")
    ] = None,
    exclude: Exclude = None,
    min_score: MinScore = None,
    where: Where = None,
    boost: Annotated[
        list[str] | None,
        typer.Option(help="Condition that lifts, as 'brand:Acme*0.3'.", rich_help_panel=RULES),
    ] = None,
    bury: Annotated[
        list[str] | None, typer.Option(help="Condition that lowers.", rich_help_panel=RULES)
    ] = None,
    pin: Annotated[
        list[str] | None, typer.Option(help="Id that comes first; may be repeated.", rich_help_panel=RULES)
    ] = None,
    max_per_brand: MaxPerBrand = None,
    max_per_category: MaxPerCategory = None,
    diversity: Annotated[
        float,
        typer.Option(min=0, max=1, help="Weight of unlikeness to those before.", rich_help_panel=RULES),
    ] = 0.0,
    fallback: Annotated[
        bool,
        typer.Option("--fallback", help="Show popular products if it is unknown.", rich_help_panel=RULES),
    ] = False,
    field: Annotated[list[str] | None, typer.Option(help="Further field to show; may be repeated.")] = None,
    release: Annotated[
        str | None, typer.Option(help="Release to ask in place of the live one, as 'v7'.")
    ] = None,
    why: Annotated[
        bool, typer.Option("--why", help="Tell what spoke for each product of the list, the strongest first.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the products most related to one, or to each of several, from the live release.

    A product is one of the catalogue, named by its id, or a new one, described by --title, --category and
    --image, or some of them: it is encoded as the catalogue was.
    """
    from twinvec.serving.answering import Question
    from twinvec.serving.rules import Condition, Rules, parse_boosts
    from twinvec.vectors.index import Filters

    ids = product_ids or []
    described = title is not None or category is not None or image is not None
    if described == bool(ids):
        raise typer.BadParameter(
            "give either the id of a product, or --title, --category and --image of one that is not in the "
            "catalogue (--in-category chooses among what is found)"
        )
    if why and described:
        raise typer.BadParameter(
            "--why is for products of the catalogue: a new one is answered without a list"
        )
    rules = Rules(
        exclude=tuple(exclude or ()),
        min_score=min_score,
        where=tuple(map(Condition.parse, where or ())),
        boost=parse_boosts(boost or (), bury or ()),
        pin=tuple(pin or ()),
        max_per_brand=max_per_brand,
        max_per_category=max_per_category,
        diversity=diversity,
        fallback=fallback,
    )
    filters = Filters(
        tuple(in_category or ()), tuple(marketplace or ()), min_price, max_price, tuple(currency or ())
    )
    question = Question(k, filters, rules, release=release, explain=why, fields=tuple(field or ()))
    workspace = open_workspace()
    if described:
        answers: Sequence[Related] = [related_to_new(workspace, title, category, image, question)]
    else:
        answers = answers_for(workspace, ids, question, basket)
    if as_json:
        print_json(answers[0] if len(answers) == 1 else answers)
        return
    for answer in answers:
        print_related(answer, ids if basket else ())


def answers_for(
    workspace: Workspace, product_ids: Sequence[str], question: Question, basket: bool
) -> Sequence[Related]:
    """Return the answer for a product or a basket, or those for several products."""
    from twinvec.serving.opening import open_answerer

    explainer = None
    if question.explain:
        from pipelines.ranking.explaining import Explainer

        explainer = Explainer(workspace)
    answerer = open_answerer(workspace, explainer=explainer)
    if basket:
        return [answerer.basket(product_ids, question)]
    if len(product_ids) > 1:
        return answerer.batch(product_ids, question)
    if explainer is None:
        return [answerer.related(product_ids[0], question)]
    with shown() as progress:
        progress("loading the ranker of the release")
        return [answerer.related(product_ids[0], question)]


def related_to_new(
    workspace: Workspace, title: str | None, category: str | None, image: Path | None, question: Question
) -> Related:
    """Return the products related to one that is not in the catalogue.

    Raises:
        NotFoundError: If there is no such image file.
    """
    from twinvec.serving.opening import open_answerer
    from twinvec.serving.related import NewProduct

    content = read_image(image, workspace.settings.image.max_bytes) if image is not None else None
    with shown() as progress:
        progress("loading the encoders of the release")
        from pipelines.cold_start.service import ColdStart

        answerer = open_answerer(workspace, ColdStart(workspace))
        return answerer.related_to_new(NewProduct(title, category, content), question)


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


def print_related(answer: Related, basket: Sequence[str] = ()) -> None:
    """Print related products, below the product that they go with; a basket is named in the title alone."""
    product = answer.product
    names = ["score", "product", "title", "category", "price"]
    rows: list[tuple[object, ...]] = [(hit.score, *columns_of(hit.product)) for hit in answer.hits]
    if any(hit.reasons is not None for hit in answer.hits):
        names.append("why")
        rows = [(*row, _strongest(hit.reasons)) for row, hit in zip(rows, answer.hits, strict=True)]
    for name in answer.hits[0].product.fields or () if answer.hits else ():
        names.append(name)
        values = [(hit.product.fields or {}).get(name) for hit in answer.hits]
        rows = [(*row, value) for row, value in zip(rows, values, strict=True)]
    if not basket:
        own = (None, *columns_of(product))
        rows.insert(0, (*own, *[None] * (len(names) - len(own))))
    title = f"the basket of {', '.join(basket)}" if basket else product.title or product.product_id
    what = "Related to" if answer.hits else "Nothing is related to"
    if answer.fallback == "popular":
        what = "Popular, in place of what is related to"
    unknown = ", which it does not have" if answer.fallback is not None else ""
    print_table(f"{what} {title or 'a new product'} in {answer.release}{unknown}", names, rows)


def _strongest(reasons: Mapping[str, float] | None) -> str | None:
    """Return the kinds of evidence that raised a score most."""
    if reasons is None:
        return None
    return ", ".join(f"{kind} {value:+.2f}" for kind, value in list(reasons.items())[:REASONS] if value > 0)


def columns_of(product: Product) -> tuple[object, ...]:
    """Return id, title, category and price of a product, as tables show them."""
    return product.product_id, product.title, product.category, priced(product.price, product.currency)


def priced(price: float | None, currency: str | None) -> str | None:
    """Return a price with its currency, as tables show it."""
    return None if price is None else f"{price:,.2f} {currency or ''}".strip()
