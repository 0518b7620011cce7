"""Neighbourhoods against a naive traversal; the same rows in files, offline and online."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.relevance.graph_files import open_neighbourhoods, write_neighbourhoods
from pipelines.relevance.purchase_graph import open_purchases
from twinvec.catalogue.snapshot import Snapshot
from twinvec.columns import QUERY_PURCHASES
from twinvec.features.reading import read_vectors
from twinvec.features.store import write_online

Row = tuple[str, str, int]


def snapshot_of(folder: Path, rows: list[Row]) -> Snapshot:
    folder.mkdir(exist_ok=True)
    table = pa.Table.from_pylist(
        [dict(zip(QUERY_PURCHASES.names, row, strict=True)) for row in rows], QUERY_PURCHASES
    )
    pq.write_table(table, folder / "query_purchases.parquet")
    return Snapshot("test", folder, False, None, {"query_purchases": len(rows)}, None)  # type: ignore[arg-type]


def naive(rows: list[Row], limit: int) -> dict[str, tuple[list[str], set[tuple[str, str]]]]:
    """Root → its nodes in order, and its edges, by the rules that the module states."""
    near: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for query, product, count in rows:
        near[f"q:{query}"].append((-count, f"p:{product}"))
        near[f"p:{product}"].append((-count, f"q:{query}"))
    ranked = {node: [other for _, other in sorted(others)][: limit - 1] for node, others in near.items()}
    found = {}
    for root, first in ranked.items():
        room = limit - 1 - len(first)
        looked = math.ceil(2 * room / len(first))
        reached: dict[str, tuple[int, int]] = {}
        steps = []
        for place, via in enumerate(first):
            for rank, other in enumerate(ranked[via][:looked]):
                if other != root:
                    steps.append((via, other))
                    best = reached.get(other, (rank, place))
                    reached[other] = (min(best[0], rank), min(best[1], place))
        second = sorted(reached, key=lambda node: (*reached[node], node))[: max(room, 0)]
        edges = {(root, via) for via in first} | {(via, other) for via, other in steps if other in second}
        found[root] = ([root, *first, *second], edges)
    return found


@pytest.mark.parametrize(("seed", "limit"), [(0, 5), (1, 9), (2, 100)])
def test_neighbourhoods_are_those_of_a_naive_traversal(tmp_path: Path, seed: int, limit: int) -> None:
    draw = np.random.default_rng(seed)
    pairs = {(f"{a}", f"{b}") for a, b in zip(draw.integers(0, 25, 80), draw.zipf(1.6, 80) % 20, strict=True)}
    rows = [
        (query, product, int(count))
        for (query, product), count in zip(sorted(pairs), draw.integers(1, 4, 80), strict=False)
    ]
    expected = naive(rows, limit)
    purchases = snapshot_of(tmp_path / "s", rows).table("query_purchases")
    with open_purchases(purchases, limit, "500MB", tmp_path / "spill") as graph:
        write_neighbourhoods(tmp_path, graph.node_ids, graph.neighbourhoods(limit, chunk=7))
    ids = graph.node_ids.to_pylist()
    assert ids == sorted(expected)
    np.save(tmp_path / "features.npy", np.eye(len(ids), dtype=np.float32))
    files = open_neighbourhoods(tmp_path, tmp_path)
    batch = files.batch(np.arange(len(ids))[::-1].copy())
    owner = np.searchsorted(batch.roots.numpy(), np.arange(len(batch.features)), side="right") - 1
    names = [ids[place] for place in batch.features.argmax(1).tolist()]
    for place, root in enumerate(reversed(ids)):
        nodes, edges = expected[root]
        ours = np.flatnonzero(owner == place)
        assert [names[node] for node in ours] == nodes
        assert len(nodes) <= limit
        assert files.sizes(np.array([len(ids) - 1 - place])) == len(nodes) - 1
        inside = [(a, b) for a, b in batch.edges.T.tolist() if owner[a] == place]
        assert len(inside) == len(edges)
        assert {(names[a], names[b]) for a, b in inside} == edges
        assert all(owner[b] == place for _, b in inside)
    assert not list((tmp_path / "spill").iterdir())


def test_the_feature_store_has_the_same_neighbourhoods_offline_and_online(home: Any) -> None:
    made, nodes = home.steps["neighbourhoods"].version, home.steps["search_nodes"].version
    files = open_neighbourhoods(Path(made.path), Path(nodes.path))
    ids = files.node_ids.to_pylist()
    store = home.workspace.features
    table = pq.read_table(Path(made.path) / "vectors")
    assert table["node_id"].to_pylist() == ids
    assert made.rows == nodes.rows == len(ids)
    write_online(store, store.get_feature_view(made.view))
    asked = [ids[3], ids[-1], "q:nothing"]
    references = [f"{made.view}:{name}" for name in ("nodes", "sources", "targets")]
    online = store.get_online_features(references, [{"node_id": each} for each in asked]).to_dict()
    for place, number in enumerate((3, len(ids) - 1)):
        row = table.slice(number, 1).to_pylist()[0]
        assert online["nodes"][place] == row["nodes"]
        assert row["nodes"] == [
            ids[node] for node in files.nodes[files.node_ends[number] : files.node_ends[number + 1]]
        ]
        assert online["targets"][place] == row["targets"]
        batch = files.batch(np.array([number]))
        assert batch.edges.tolist() == [row["sources"], row["targets"]]
        vectors = read_vectors(store, nodes, row["nodes"]).only()
        np.testing.assert_array_equal(batch.features.numpy(), vectors)
    assert online["nodes"][2] is None


def test_nodes_have_the_text_vectors_of_the_feature_store(home: Any) -> None:
    nodes, text = home.steps["search_nodes"].version, home.steps["text"].version
    ids = pq.read_table(Path(nodes.path) / "vectors")["node_id"].to_pylist()
    products = [each for each in ids if each.startswith("p:")]
    store = home.workspace.features
    expected = read_vectors(store, text, [each[2:] for each in products]).only()
    np.testing.assert_array_equal(read_vectors(store, nodes, products).only(), expected)
    queries = read_vectors(store, nodes, [each for each in ids if each.startswith("q:")]).only()
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-5)
