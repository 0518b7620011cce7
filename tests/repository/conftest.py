from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("platform", "pipelines", "registry", "migrations", "feature_repo", "benchmarks", "tests")


@dataclass(frozen=True)
class Module:
    """One source file and the modules it imports, at the top or inside a function."""

    path: Path
    imports: frozenset[str]

    def __str__(self) -> str:
        return str(self.path)

    def imports_from(self, *packages: str) -> set[str]:
        return {name for name in self.imports if name.split(".")[0] in packages}


def imported_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the whole name, not a relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def modules() -> list[Module]:
    """Every Python file of the repository, with paths relative to its root."""
    paths = sorted(path for folder in SOURCES for path in (ROOT / folder).rglob("*.py"))
    assert paths
    return [
        Module(
            path.relative_to(ROOT),
            frozenset(imported_names(ast.parse(path.read_text(encoding="utf-8"), str(path)))),
        )
        for path in paths
    ]
