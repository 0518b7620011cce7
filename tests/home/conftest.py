"""A small shop that is trained and released once a session; each test gets a copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import twinvec
from tests.homes import built_once, copied
from twinvec.catalogue.synthetic.store import generate

BRIEF: dict[str, Any] = {
    "device": "cpu",
    "category": {"epochs": 20},
    "text": {"scheme": "pretrained"},
    "aligned": {"dimension": 16, "epochs": 1},
    "related": {"dimension": 16, "twinvec": {"epochs": 2}},
    "ranking": {"trees": 30},
}


@pytest.fixture(scope="session")
def first_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `catalogue`, a store of 200 products, and `shop`, the home where it is released."""
    return built_once(tmp_path_factory, "first", build_shop)


def build_shop(folder: Path) -> Path:
    generate(folder / "catalogue", 200, images=False)
    with twinvec.open(folder / "shop", **BRIEF) as home:
        home.ingest(folder / "catalogue")
        assert home.run().refused is None
    return folder


@pytest.fixture
def folder(first_shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the catalogue and a copy of the home."""
    copied(first_shop / "catalogue", tmp_path / "catalogue")
    copied(first_shop / "shop", tmp_path / "shop")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def home(folder: Path) -> Iterator[twinvec.Home]:
    with twinvec.open(folder / "shop", **BRIEF) as opened:
        yield opened
