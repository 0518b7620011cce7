"""A home with one tiny snapshot; MLflow takes seconds to make its tables, so each test gets a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.homes import copied
from twinvec import tracking
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.columns import PRODUCTS
from twinvec.settings import Settings
from twinvec.workspace import Workspace

IngestProducts = Callable[[Workspace, Path, list[str]], Snapshot]


@pytest.fixture(scope="session")
def ingest_products() -> IngestProducts:
    """Make a snapshot of products with these ids, which is then the latest."""

    def make(workspace: Workspace, folder: Path, ids: list[str]) -> Snapshot:
        folder.mkdir(parents=True)
        rows = [{"product_id": name, "category": [], "marketplace": "us"} for name in ids]
        pq.write_table(pa.Table.from_pylist(rows, PRODUCTS), folder / "products.parquet")
        return ingest(folder, "parquet", workspace.settings, workspace.engine).snapshot

    return make


@pytest.fixture(scope="session")
def first_home(tmp_path_factory: pytest.TempPathFactory, ingest_products: IngestProducts) -> Path:
    folder = tmp_path_factory.mktemp("road")
    workspace = Workspace(Settings(home=folder / "home"))
    ingest_products(workspace, folder / "source", ["a", "b", "c"])
    assert workspace.features.list_feature_views() == []
    assert tracking.alias_uri(workspace.settings, "text", tracking.LIVE) is None
    workspace.engine.dispose()
    return workspace.settings.home


@pytest.fixture
def workspace(first_home: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A home of the test's own, with the snapshot of products a, b and c and nothing made of it."""
    copied(first_home, tmp_path / "home")
    workspace = Workspace(Settings(home=tmp_path / "home"))
    yield workspace
    workspace.engine.dispose()


@pytest.fixture
def snapshot(workspace: Workspace) -> Snapshot:
    return workspace.snapshot()
