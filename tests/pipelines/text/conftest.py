from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sentence_transformers import SentenceTransformer

from pipelines.text.encoder import INSTALLED, load_encoder
from tests.encoders import write_small_encoder
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


@pytest.fixture(scope="session")
def small_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a sentence encoder of 2 narrow layers with random weights and no dropout, and a real tokenizer."""
    return write_small_encoder(tmp_path_factory.mktemp("small"))


@dataclass(frozen=True)
class Graph:
    """A product graph in a folder, as the graph pipeline writes it.

    Attributes:
        folder: Folder of the files.
        coview: (source, target, count, split), each a row.
        copurchase: Likewise.
    """

    folder: Path
    coview: list[tuple[int, int, int, int]]
    copurchase: list[tuple[int, int, int, int]]


@pytest.fixture
def write_graph(tmp_path: Path) -> Callable[..., Graph]:
    """`write_graph(product_ids, categories, coview, copurchase)`."""

    def write(
        product_ids: list[str],
        categories: list[str | None],
        coview: list[tuple[int, int, int, int]],
        copurchase: list[tuple[int, int, int, int]],
    ) -> Graph:
        folder = tmp_path / "graph"
        folder.mkdir(exist_ok=True)
        nodes = {"node": [*range(len(product_ids))], "product_id": product_ids, "category": categories}
        pq.write_table(
            pa.table(
                nodes, pa.schema({"node": pa.int64(), "product_id": pa.string(), "category": pa.string()})
            ),
            folder / "nodes.parquet",
        )
        for name, edges in (("coview", coview), ("copurchase", copurchase)):
            columns = list(zip(*edges, strict=True)) or [(), (), (), ()]
            table = {
                each: pa.array(column, pa.int8() if each == "split" else pa.int64())
                for each, column in zip(("source", "target", "count", "split"), columns, strict=True)
            }
            pq.write_table(pa.table(table), folder / f"{name}.parquet")
        return Graph(folder, coview, copurchase)

    return write
