"""One module knows where things lie in the home: the others ask `settings.paths`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = ("platform", "pipelines", "registry", "migrations", "feature_repo")
OWNER = Path("platform/twinvec/paths.py")
JOINING = {"joinpath", "glob", "rglob"}


def is_home(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == "home") or (
        isinstance(node, ast.Attribute) and node.attr == "home"
    )


def joined_to_the_home(tree: ast.Module) -> Iterator[int]:
    """Lines that append something to an expression called `home`."""
    for node in ast.walk(tree):
        divided = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and is_home(node.left)
        called = (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in JOINING
            and is_home(node.func.value)
        )
        if divided or called:
            yield node.lineno  # type: ignore[attr-defined]


def test_only_one_module_knows_the_paths_of_the_home(root: Path) -> None:
    lines = {
        f"{path.relative_to(root)}:{line}"
        for folder in SOURCES
        for path in (root / folder).rglob("*.py")
        if path.relative_to(root) != OWNER
        for line in joined_to_the_home(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert lines == set(), "add a property to twinvec.paths.HomePaths"


@pytest.mark.parametrize(
    "planted",
    [
        'home / "x"',
        'settings.home / "x" / "y"',
        'home.glob("x/*")',
        'workspace.settings.home.joinpath("x")',
        "home / x",
    ],
)
def test_a_planted_path_is_seen(planted: str) -> None:
    assert list(joined_to_the_home(ast.parse(f"def f(home):\n    return {planted}"))) == [2]


def test_the_owner_is_there(root: Path) -> None:
    assert list(joined_to_the_home(ast.parse((root / OWNER).read_text(encoding="utf-8"))))
