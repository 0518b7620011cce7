"""The description of a new product becomes what the catalogue's products have."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest

from pipelines.cold_start.description import compose_text, find_path, read_paths
from pipelines.text.texts import read_texts
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.catalogue.synthetic.store import generate
from twinvec.serving.related import UnusableProductError
from twinvec.settings import Settings
from twinvec.workspace import Workspace

PATHS = [("Music", "Jazz"), ("Music", "Pop", "Live"), ("Films", "Live"), ("Films", "Drama")]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshot]:
    folder = tmp_path_factory.mktemp("described")
    generate(folder / "store", 300, seed=11, images=False)
    workspace = Workspace(Settings(home=folder / "home"))
    yield ingest(folder / "store", "parquet", workspace.settings, workspace.engine).snapshot
    workspace.engine.dispose()


def test_texts_are_composed_as_the_catalogue_s(snapshot: Snapshot) -> None:
    catalogue = {
        product: text
        for batch in read_texts(snapshot, 64)
        for product, text in zip(batch.product_ids.to_pylist(), batch.texts.to_pylist(), strict=True)
    }
    assert len(catalogue) == 300
    products = pq.read_table(snapshot.table("products")).to_pydict()
    untitled = 0
    for product, titles, path in zip(
        *(products[n] for n in ("product_id", "title", "category")), strict=True
    ):
        by_language = dict(titles or ())
        title = by_language.get("en", next(iter(by_language.values()), None))
        assert compose_text(title, path) == catalogue[product]
        untitled += title is None
    assert untitled < 300
    assert compose_text("Giant Steps", ("Music", "Jazz")) == "Music > Jazz: Giant Steps"
    assert compose_text("Giant Steps", ()) == "Giant Steps"
    assert compose_text(None, ("Music",)) == "Music"
    assert compose_text(None, ()) is None


def test_the_catalogue_s_paths_are_each_read_once(snapshot: Snapshot) -> None:
    paths = pq.read_table(snapshot.table("products"))["category"].to_pylist()
    assert read_paths(snapshot) == sorted({tuple(path) for path in paths if path})


@pytest.mark.parametrize(
    ("category", "path"),
    [
        ("Music > Jazz", ("Music", "Jazz")),
        (" Music>Jazz ", ("Music", "Jazz")),
        ("Books > New in the shop", ("Books", "New in the shop")),
        ("Jazz", ("Music", "Jazz")),
        ("Pop", ("Music", "Pop")),
        ("Music", ("Music",)),
    ],
)
def test_a_category_is_a_path_or_a_name(category: str, path: tuple[str, ...]) -> None:
    assert find_path(category, PATHS) == path


@pytest.mark.parametrize(
    ("category", "message", "hint"),
    [
        ("Live", "2 categories called 'Live'", "Films > Live; Music > Pop > Live"),
        ("Jaz", "no category 'Jaz'", "did you mean 'Jazz'"),
        ("Gardening", "no category 'Gardening'", "whole path"),
        ("", "is empty", "leave it out"),
        ("Music > ", "empty level", "leave it out"),
    ],
)
def test_a_category_that_means_nothing_is_explained(category: str, message: str, hint: str) -> None:
    with pytest.raises(UnusableProductError, match=message) as caught:
        find_path(category, PATHS)
    assert hint in caught.value.hint


def test_a_name_with_the_separator_in_it_is_found() -> None:
    paths = [("Cables › USB", "Short"), ("Cables", "USB › Long")]
    assert find_path("Cables > USB", paths) == ("Cables › USB",)
    assert find_path("USB > Long", paths) == ("Cables", "USB › Long")
    assert find_path("Cables", paths) == ("Cables",)
