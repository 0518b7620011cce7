"""Names that pytest would take for tests when a test imports them."""

from __future__ import annotations

import ast
from pathlib import Path


def test_no_function_outside_the_tests_is_named_like_a_test(root: Path) -> None:
    paths = [
        path
        for folder in ("platform", "pipelines", "registry", "migrations", "feature_repo", "benchmarks")
        for path in (root / folder).rglob("*.py")
    ]
    assert paths
    named = [
        f"{path.relative_to(root)}:{node.lineno}: {node.name}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert not named, f"pytest collects these where a test imports them: {named}"
