"""`twinvec lineage`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import WIDTH, AsJson, print_json, print_table
from twinvec.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.tree import Tree

    from twinvec.releases.lineage import Lineage

MOVE = ("what", "before", "after", "at", "who", "why", "run_id")


def lineage(
    name: Annotated[
        str, typer.Argument(help="A version, such as related@v7, or a release, such as related_products@v7.")
    ],
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw it into this file: .svg, .png or .pdf.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a version or a release was made from, what was made from it, and how its state changed."""
    from twinvec.releases.lineage import trace
    from twinvec.releases.picture import FORMATS, draw

    if picture is not None and picture.suffix not in FORMATS:
        raise typer.BadParameter(f"{picture} must end in {', '.join(FORMATS)}", param_hint="--picture")
    if picture is not None and not picture.absolute().parent.is_dir():
        raise NotFoundError(
            f"there is no folder {picture.absolute().parent}", "make it, or name another file"
        )
    traced = trace(open_workspace(), name)
    if picture is not None:
        draw(traced, picture)
    if as_json:
        print_json(_record(traced))
        return
    _print(traced)
    if picture is not None:
        typer.echo(f"drawn into {picture}")


def _record(traced: Lineage) -> dict[str, object]:
    return {
        "about": traced.about,
        "nodes": list(traced.nodes.values()),
        "edges": [
            {"made_from": traced.nodes[parent], "made": traced.nodes[child]} for parent, child in traced.edges
        ],
        "history": [{name: getattr(move, name) for name in MOVE} for move in traced.history],
    }


def _print(traced: Lineage) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    for title, next_to in (
        ("was made from", traced.made_from),
        ("was made into", traced.made_into),
    ):
        console.print(_tree(traced, f"{traced.about.name} {title}", next_to))
    print_table(
        "History",
        ["what", "from", "to", "when", "who", "why", "run"],
        [[getattr(move, name) for name in MOVE] for move in traced.history],
    )


def _tree(traced: Lineage, title: str, next_to: Callable[[str], list[str]]) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    shown: set[str] = set()

    def grow(tree: Tree, key: str) -> None:
        for each in next_to(key):
            node, branches = traced.nodes[each], next_to(each)
            label = f"{node.kind} {node.name}" if node.kind == "snapshot" else f"{node.name}, {node.state}"
            again = each in shown and bool(branches)
            branch = tree.add(
                Text(f"{label}, {node.made_at:%Y-%m-%d %H:%M}" + (" (see above)" if again else ""))
            )
            if not again:
                shown.add(each)
                grow(branch, each)

    tree = Tree(Text(title, style="bold"))
    grow(tree, traced.about.key)
    if not tree.children:
        tree.add("nothing")
    return tree
