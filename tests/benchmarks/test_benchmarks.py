"""The benchmarks at tiny sizes: contenders must find the same, and the page must take what they write."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import qdrant_edge as edge
import scipy.sparse as sp

from benchmarks import dimension, features, gpu, graph_build, inference, publish, scale, table, training
from benchmarks.graphs import generate_graph
from benchmarks.measuring import Ratio, finish
from pipelines.graph.product_graph import Edges
from twinvec.nn import row_blocks
from twinvec.serving.related import Recommender
from twinvec.settings import RelatedSettings
from twinvec.settings.stores import QdrantSettings


def test_all_contenders_find_the_same_pairs_and_npmi(tmp_path: Path) -> None:
    graph_build.generate(tmp_path, lines=2_000, seed=3)
    names = [name for name in graph_build.CONTENDERS if name != "Polars" or find_spec("polars")]
    found = [graph_build.CONTENDERS[name](tmp_path)() for name in names]
    assert found[0][0] > 1_000
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-9)


def test_publish_and_queries_are_timed_on_the_same_points(tmp_path: Path) -> None:
    batches = publish.draw_points(300, 8, QdrantSettings().batch, seed=0)
    figures, index, shard = publish.time_publish(tmp_path, batches, repeats=1)
    recommender = Recommender(index, publish.ALIAS, ef=128)
    batch = batches[0]
    answer = [(hit.score, hit.product.product_id) for hit in recommender.related("product-7").hits]
    for contender in publish.CONTENDERS.values():
        by_id, by_vector = contender(shard, edge.SearchParams(exact=True))
        found = [(score, payload["product_id"]) for score, payload in by_id(batch.ids[7], "product-7")]
        assert [product for _, product in found] == [product for _, product in answer]
        assert len(by_vector(batch.source[7].tolist())) == publish.K
        queried = publish.time_queries(index, shard, batches, 3, seed=0, contender=contender, warm=1)
        assert all(parts["p99"] >= parts["p50"] > 0 for parts in queried.values())
    index.close()
    assert figures["seconds"]["twinvec"] > figures["of_which_verifying"] > 0


def test_every_quantisation_is_measured_on_the_same_vectors(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    source, target = (random.standard_normal((300, 16), np.float32) for _ in range(2))
    starts = random.integers(20, size=40)
    ends = (starts + random.integers(1, 300, size=40)) % 300
    edges = Edges(starts, ends, np.ones(40, np.int64))
    ids = pa.array([f"product {row:03d}" for row in range(300)])
    graph = replace(generate_graph(300, seed=0), product_ids=ids, copurchase=edges)
    rows = dimension.measure(graph, edges, (source, target), 0.5, queries=3, folder=tmp_path)
    assert [row.quantization for row in rows] == [*dimension.QUANTIZATIONS]
    assert [row.memory_bytes for row in rows] == [300 * 64, 300 * 20, 300 * 4 + 16 * 1024, 300 * 16]
    assert all(row.query_p50_ms > 0 and row.index_bytes > 2 * source.nbytes for row in rows)

    scores = source @ target.T
    ranks = []
    for start, end in zip(starts, ends, strict=True):
        others = np.delete(scores[start], [start, *ends[starts == start]])
        ranks.append(1 + int((others > scores[start, end]).sum()))
    expected = float(np.mean([1 / rank if rank <= 10 else 0 for rank in ranks]))
    assert expected > 0
    assert rows[0].mrr_at_10 == pytest.approx(expected, abs=0.03), "but for what the graph does not find"
    record = {"products": 300, "test_edges": 40, "rows": [asdict(row) for row in rows]}
    finish(tmp_path / "dimension.json", {}, [], record, ("numpy",))
    lines = table.dimensions(json.loads((tmp_path / "dimension.json").read_text()))
    assert lines[3].startswith(f"| 16 | `scalar` | {rows[1].mrr_at_10:.4f} |")


def test_both_trainings_and_both_inferences_run() -> None:
    settings = RelatedSettings.model_validate({"recipe": "paper", "dimension": 8, "paper": {"batch": 64}})
    trained = training.measure(100, steps=2, epochs=2, repeats=1, options=settings, width=8)
    assert trained["edges"]["trained"] == 128, "of an epoch"
    inferred = inference.measure(100, batches=[16, 64], steps=2, repeats=1, width=8)
    assert inferred["largest_difference"] < 1e-4
    assert inferred["nodes_done"] == {"layer by layer": 200, "blocks of 16": 32, "blocks of 64": 128}


def test_versions_and_histories_are_read_the_same_by_all() -> None:
    assert all(features.measure(50, dimension=4, repeats=1, seed=0).values())
    seconds = features.measure_histories(60, products=10, versions=3, dimension=4, repeats=1, seed=0)
    assert [*seconds] == ["our offline store", "Feast's own", "bare DuckDB"]


def test_walks_of_some_products_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_blocks, "ROWS", 100)
    figures = scale.measure(250, steps=1, width=8, seed=0, walks=50)
    assert figures["walks"] == 50
    assert figures["seconds"]["plan"] > 0
    copurchase: Any = sp.random_array((250, 250), density=0.02, rng=np.random.default_rng(0), format="csr")
    coview: Any = sp.csr_array((250, 250))
    walks = scale.SampledWalks(50, seed=0)
    rows = walks(copurchase, coview, 1.0, 0.3, 4, 1e-4, 10, 0.0)
    first, last = (rows(nodes).toarray() for nodes in (np.arange(50), np.arange(200, 250)))
    np.testing.assert_array_equal(first, last)
    assert walks.spared > 0


def test_an_epoch_cut_short_says_so_and_the_page_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = scale.measure(8_000, steps=1, width=8, seed=0)
    assert figures["epoch_is_extrapolated"]
    assert figures["batches"]["run"] == 1 < figures["batches"]["of an epoch"]
    finish(tmp_path / "scale_8000.json", {"products": 8_000}, [], figures, ("numpy",))
    missed = Ratio("read of a version", "the bare DuckDB join", 1.5, 1.3, least=False)
    finish(tmp_path / "features.json", {"size": 10}, [missed], {}, ("numpy",))
    assert json.loads((tmp_path / "features.json").read_text())["ratios"][0]["met"] is False
    assert "MISSED" in capsys.readouterr().out
    page = table.fill(table.PAGE.read_text(encoding="utf-8"), tmp_path)
    assert "| read of a version | the bare DuckDB join | ≤ 1.3× | 1.50× (missed) |" in page
    assert f"extrapolated from 1 of {figures['batches']['of an epoch']} batches" in page
    assert table.fill(page, tmp_path) == page


@pytest.mark.parametrize("part", ["related", "recipe"])
def test_the_gpu_benchmark_runs_without_the_stores(part: str, tmp_path: Path) -> None:
    sizes = ["--products", "500", "--sizes", "3000", "--edges", "600", "--batch", "300", "--epochs", "1"]
    missing = ["dgl", "duckdb", "feast", "mlflow", "pydantic", "qdrant_client", "qdrant_edge", "sqlalchemy"]
    code = f"""
import runpy, sys
sys.modules |= dict.fromkeys({missing})
sys.argv = ["gpu.py", *{sizes}, "--device", "cpu", "--in-process", {part!r}]
runpy.run_path({str(Path(gpu.__file__))!r}, run_name="__main__")
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True, text=True
    )
    rows = json.loads(ran.stdout.splitlines()[-1])
    assert len(rows) == (4 if part == "related" else 1)
    assert all(row["edges_per_second"] > 0 and 0 < row["loss"] < 20 for row in rows.values())
    assert [round(ratio.value, 3) for ratio in gpu.ratios({"related": rows, "related, before": rows})] == [
        1.0
    ] * len(rows)
