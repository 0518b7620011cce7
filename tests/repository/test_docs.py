"""Links of the documentation."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def check_links(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_links", root / "docs" / "check_links.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_relative_link_leads_somewhere(check_links: ModuleType, root: Path) -> None:
    pages = check_links.markdown_pages(root)
    assert len(pages) > 10
    assert check_links.dead_links(pages) == []


def test_dead_links_are_found(check_links: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# One *place*\n```\n# no heading\n```\n")
    (tmp_path / "page.html").write_text('<a href="there.md">x</a><a href="#no">x</a><p id="yes"></p>')
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#one-place) [c](there.md#no-heading) [d](gone.md) [e](https://x.org/gone)\n"
        "[f](page.html#yes) [g](page.html#no) `[h](code.md)`\n```\n[i](fenced.md)\n```\n"
    )
    dead = check_links.dead_links([page, tmp_path / "page.html"])
    links = [each.rpartition(" ")[2] for each in dead]
    assert links == ["there.md#no-heading", "gone.md", "page.html#no", "#no"]
