from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.graph.pipeline import REPORT, train
from pipelines.graph.product_graph import load_graph
from registry.models import Version
from twinvec import columns
from twinvec.catalogue.ingest import ingest
from twinvec.features.reading import Vectors
from twinvec.settings import Settings
from twinvec.stage import Inputs, Outcome
from twinvec.workspace import Workspace

KNOWN = {"all > phones": [1.0, 0.0], "all > cases": [0.8, 0.6], "all > shoes": [-1.0, 0.0]}


@dataclass(frozen=True)
class KnownCategories(Inputs):
    """Inputs whose category vectors are given, in place of a version in the feature store."""

    def vectors(self, space: str, keys: Sequence[str]) -> Vectors:
        present = np.array([key in KNOWN for key in keys])
        rows = np.array([KNOWN.get(key, [0.0, 0.0]) for key in keys], np.float32)
        return Vectors({"category_vector": rows}, present)


@pytest.fixture
def inputs(tmp_path: Path) -> KnownCategories:
    products = {"phone": "phones", "case": "cases", "shoe": "shoes", "hat": "hats", "cap": "hats"}
    pairs = [("phone", "case"), ("phone", "shoe"), ("phone", "hat"), ("hat", "cap"), ("case", "phone")]
    source = tmp_path / "source"
    source.mkdir()
    nothing = [None] * len(products)
    table: dict[str, Any] = {
        "product_id": list(products), "title": nothing, "category": [["all", name] for name in products.values()],
        "price": nothing, "currency": nothing, "marketplace": ["us"] * len(products), "brand": nothing,
        "image": nothing,
    }  # fmt: skip
    pq.write_table(pa.table(table, columns.PRODUCTS), source / "products.parquet")
    edges = {"source": [a for a, _ in pairs], "target": [b for _, b in pairs], "count": [1] * len(pairs)}
    pq.write_table(pa.table(edges, columns.PAIRS), source / "copurchase.parquet")
    settings = Settings(home=tmp_path / "home", graph={"drop_weak": "always", "test": 0.1})
    workspace = Workspace(settings)
    snapshot = ingest(source, "parquet", settings, workspace.engine).snapshot
    return KnownCategories(workspace, snapshot, {"category": Version()})


def made(inputs: Inputs, folder: Path) -> Outcome:
    run: Any = None  # the graph logs nothing of its own
    outcome = train(inputs, run, lambda message: None)
    outcome.write(folder)
    return outcome


def test_weak_edges_go_and_those_of_categories_without_a_vector_stay(
    inputs: KnownCategories, tmp_path: Path
) -> None:
    outcome = made(inputs, tmp_path)
    graph = load_graph(tmp_path)
    ids = graph.product_ids.to_pylist()
    kept = {(ids[a], ids[b]) for a, b in zip(graph.copurchase.source, graph.copurchase.target, strict=True)}
    assert kept == {("phone", "case"), ("phone", "hat"), ("hat", "cap"), ("case", "phone")}
    assert outcome.metrics["copurchase_edges"] == 4
    assert outcome.metrics["weak_edges"] == outcome.metrics["dropped_edges"] == 1
    assert len(graph.coview) == 0
    report = {
        (row["source_category"], row["target_category"]): row["association"]
        for row in pq.read_table(tmp_path / REPORT).to_pylist()
    }
    assert report["all > phones", "all > hats"] is None
    assert report["all > phones", "all > cases"] == pytest.approx(0.8)
    assert report["all > phones", "all > shoes"] == pytest.approx(-1.0)


def test_the_same_inputs_give_the_same_graph(inputs: KnownCategories, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    first, second = made(inputs, tmp_path), made(inputs, tmp_path / "again")
    assert (first.model, first.preprocessing) == (second.model, second.preprocessing)
    for name in ("nodes", "copurchase", "coview"):
        one, other = (pq.read_table(folder / f"{name}.parquet") for folder in (tmp_path, tmp_path / "again"))
        assert one.equals(other)
