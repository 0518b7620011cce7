"""The table of models and baselines, on a small synthetic store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from mlflow import MlflowClient

from pipelines.comparisons import alignment, graph, related
from pipelines.comparisons.alignment import side_by_side
from pipelines.comparisons.comparison import Request
from pipelines.comparisons.graph import with_held_out_edges
from pipelines.comparisons.runner import run
from pipelines.graph.product_graph import Edges, ProductGraph, Split
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.catalogue.synthetic.store import generate
from twinvec.errors import SettingsError
from twinvec.metrics.intervals import confidence_interval
from twinvec.settings import Settings
from twinvec.workspace import Workspace

SMALL: dict[str, Any] = {
    "category": {"epochs": 50},
    "text": {"scheme": "pretrained"},
    "image": {"scheme": "none"},
    "aligned": {"dimension": 32, "epochs": 2},
    "related": {
        "dimension": 16,
        "twinvec": {"epochs": 3},
        "paper": {"epochs": 1, "batch": 200},
        **{name: {"epochs": 1} for name in ("daemon", "sage", "gat", "lightgcn")},
    },
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Snapshot]]:
    folder = tmp_path_factory.mktemp("tables")
    workspace = Workspace(Settings(home=folder / "home", device="cpu", **SMALL))
    generate(folder / "store", 240, 1, images=False)
    yield workspace, ingest(folder / "store", "parquet", workspace.settings, workspace.engine).snapshot
    workspace.engine.dispose()


@pytest.mark.slow
def test_every_row_is_judged_on_the_same_edges_and_logged(shop: tuple[Workspace, Snapshot]) -> None:
    workspace, snapshot = shop
    said: list[str] = []
    rows = {row.name: row for row in run(related.COMPARISON, Request(workspace, snapshot, said.append))}
    assert [*rows] == [name for name in related.row_names() if name != "image cosine"]
    assert "image cosine: the snapshot has nothing for it" in said
    for row in rows.values():
        assert 0 <= row.hits_at_1 <= row.hits_at_3 <= row.hits_at_5 <= row.hits_at_10 <= 1
        assert row.mrr_low <= row.mrr_at_10 <= row.mrr_high
    assert rows["twinvec"].mrr_at_10 > rows["popularity"].mrr_at_10
    assert rows["text cosine"].auc_dir == pytest.approx(0.5), "it knows no direction"

    client = MlflowClient(workspace.settings.tracking_uri())
    experiment = client.get_experiment_by_name("twinvec/comparisons")
    assert experiment is not None
    logged = {run.info.run_name: run.data.metrics for run in client.search_runs([experiment.experiment_id])}
    assert logged.keys() == {"related", *rows}
    assert logged["strap"]["hits_at_10"] == pytest.approx(rows["strap"].hits_at_10)
    with pytest.raises(SettingsError, match="no row bm25"):
        run(related.COMPARISON, Request(workspace, snapshot, said.append), ["bm25"])


@pytest.mark.slow
def test_content_and_graph_are_varied_one_at_a_time(shop: tuple[Workspace, Snapshot]) -> None:
    workspace, snapshot = shop
    rows = {row.name: row for row in run(alignment.COMPARISON, Request(workspace, snapshot, print))}
    assert [*rows] == ["no content", "text", "aligned"], "there are no images"
    asked = [
        "as set",
        "weak associations kept",
        "direction by popularity",
        "no co-views",
        "the paper's recipe with one layer",
    ]
    variants = {row.name: row for row in run(graph.COMPARISON, Request(workspace, snapshot, print), asked)}
    assert [*variants] == asked
    # The same content and graph come to the same figures, by either table.
    assert variants["as set"].mrr_at_10 == rows["aligned"].mrr_at_10
    assert len({row.mrr_at_10 for row in [*rows.values(), *variants.values()]}) > 4
    assert workspace.version("graph").name == "graph@v3", "two variants made graphs of their own"


def test_a_variant_is_tested_on_the_edges_of_the_graph_and_trained_on_none_of_their_pairs() -> None:
    random = np.random.default_rng(8)
    graph, other = (random_graph(random) for _ in range(2))
    found = with_held_out_edges(other, graph)

    def pairs(edges: Edges) -> list[tuple[int, int]]:
        return list(zip(edges.source.tolist(), edges.target.tolist(), strict=True))

    for split in (Split.VALIDATION, Split.TEST):
        assert pairs(found.edges(split)) == pairs(graph.edges(split))
    held_out = {frozenset(pair) for pair in pairs(graph.edges(Split.VALIDATION, Split.TEST))}
    trained = set(pairs(graph.edges(Split.TRAIN)))
    expected = [
        pair for pair in pairs(other.copurchase) if frozenset(pair) not in held_out or pair in trained
    ]
    assert pairs(found.edges(Split.TRAIN)) == expected
    assert len(expected) < len(other.copurchase)
    assert any(frozenset(pair) in held_out for pair in expected)
    same = with_held_out_edges(graph, graph)
    assert pairs(same.edges(Split.TRAIN)) == pairs(graph.edges(Split.TRAIN))


def random_graph(random: np.random.Generator) -> ProductGraph:
    drawn = np.unique(random.integers(0, 20, (150, 2)), axis=0)
    source, target = drawn[drawn[:, 0] != drawn[:, 1]].T
    edges = Edges(source, target, np.ones(len(source), np.int64))
    split = random.choice([Split.TRAIN, Split.VALIDATION, Split.TEST], len(edges)).astype(np.int8)
    nothing = np.zeros(0, np.int64)
    none = Edges(nothing, nothing, nothing)
    ids = pa.array([f"p{number:02}" for number in range(20)])
    return ProductGraph(ids, edges, none, split, np.zeros(0, np.int8))


def test_content_is_side_by_side_with_whether_it_is_there() -> None:
    first, second = np.array([[1.0, 2.0], [0, 0]], np.float32), np.array([[0.0], [3]], np.float32)
    assert side_by_side([first, second], 2).tolist() == [[1, 2, 1, 0, 0], [0, 0, 0, 3, 1]]
    assert side_by_side([], 2).tolist() == [[0], [0]]


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    held = 0
    for seed in range(60):
        low, high = confidence_interval(random.exponential(1.0, 200), seed)
        held += low <= 1 <= high
    assert 51 <= held <= 60
    assert confidence_interval(np.full(5, 0.25), 0) == (0.25, 0.25)
