"""`twinvec similar`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import shown
from pipelines.command.query import priced, read_image

NEW = "A listing that is not in the catalogue"


def similar(
    item: Annotated[
        str | None, typer.Argument(help="The listing, or its product; not given for one that is new.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many to find.")] = 10,
    marketplace: Annotated[str | None, typer.Option(help="Find listings of this store alone.")] = None,
    exact_only: Annotated[
        bool, typer.Option("--exact-only", help="Find what is taken for the same product alone.")
    ] = False,
    title: Annotated[str | None, typer.Option(help="Its title.", rich_help_panel=NEW)] = None,
    description: Annotated[str | None, typer.Option(help="Its description.", rich_help_panel=NEW)] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(help="An attribute, as 'colour=red'; may be repeated.", rich_help_panel=NEW),
    ] = None,
    image: Annotated[Path | None, typer.Option(help="A file with its image.", rich_help_panel=NEW)] = None,
    as_json: AsJson = False,
) -> None:
    """Show the same product and its substitutes in all stores and languages, from the live release."""
    from twinvec.serving.similar import Finder, NewListing

    described = any(each is not None for each in (title, description, attribute, image))
    if described == (item is not None):
        raise typer.BadParameter("give either the id of a listing, or --title and so on of one that is new")
    pairs = dict(_pair(each) for each in attribute or ())
    workspace = open_workspace()
    with shown() as progress:
        if item is None:
            progress("loading the encoders of the live release")
            own = {name: pairs.pop(name, None) for name in ("brand", "colour", "size")}
            content = read_image(image, workspace.settings.image.max_bytes) if image is not None else None
            asked: str | NewListing = NewListing(title, description, **own, attributes=pairs, image=content)
        else:
            asked = item
        answer = Finder(workspace).similar(asked, k, marketplace, exact_only)
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            hit.score,
            hit.relation,
            "catalogue" if hit.known else "cosine",
            hit.item_id,
            hit.title,
            hit.marketplace,
            hit.language,
            priced(hit.price, hit.currency),
        )
        for hit in answer.hits
    ]
    what = "Similar to" if rows else "Nothing is similar to"
    print_table(
        f"{what} {answer.item_id or 'a new listing'}, by {answer.release}",
        ["cosine", "relation", "told by", "listing", "title", "store", "language", "price"],
        rows,
    )


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (separator and name.strip() and value.strip()):
        raise typer.BadParameter(
            f"{text!r} is no attribute; write it as 'colour=red'", param_hint="--attribute"
        )
    return name.strip(), value.strip()
