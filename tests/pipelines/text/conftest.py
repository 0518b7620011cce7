from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sentence_transformers import SentenceTransformer

from pipelines.text.encoder import INSTALLED, load_encoder
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.columns import PRODUCTS
from twinvec.settings import load_settings
from twinvec.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(load_settings(home=tmp_path / "home", device="cpu"))


@pytest.fixture
def snapshot_of(workspace: Workspace, tmp_path: Path) -> Callable[..., Snapshot]:
    """`snapshot_of(product_id=(title by language, category path), …)`."""

    def make(**products: tuple[dict[str, str] | None, list[str]]) -> Snapshot:
        source = tmp_path / "source"
        source.mkdir()
        rows = [
            {"product_id": name, "title": title and [*title.items()], "category": path, "marketplace": "us"}
            for name, (title, path) in products.items()
        ]
        pq.write_table(pa.Table.from_pylist(rows, PRODUCTS), source / "products.parquet")
        return ingest(source, "parquet", workspace.settings, workspace.engine).snapshot

    return make


@pytest.fixture(scope="session")
def encoder() -> SentenceTransformer:
    return load_encoder(INSTALLED, 64, torch.device("cpu"))
