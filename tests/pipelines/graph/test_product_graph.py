"""The product graph in memory, and back from its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.graph.product_graph import Edges, ProductGraph, Split, load_graph
from pipelines.graph.renumbering import renumbered


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copurchase = {
        "source": [0, 0, 2, 3],
        "target": [1, 2, 0, 0],
        "count": [5, 1, 1, 2],
        "split": [0, 2, 1, 0],
    }
    table = pa.table(copurchase)
    place = table.schema.get_field_index("split")
    pq.write_table(
        table.set_column(place, "split", table["split"].cast(pa.int8())), tmp_path / "copurchase.parquet"
    )
    coview = {"source": [1, 3, 4], "target": [3, 1, 0], "count": [4, 2, 1], "split": [1, 1, 0]}
    pq.write_table(pa.table(coview), tmp_path / "coview.parquet")
    pq.write_table(pa.table({"node": range(5), "product_id": list("abcde")}), tmp_path / "nodes.parquet")
    return tmp_path


def test_read_from_files(folder: Path) -> None:
    graph = load_graph(folder)
    assert graph.products == 5
    assert graph.product_ids.to_pylist() == list("abcde")
    dense = np.zeros((5, 5))
    dense[[0, 0, 2, 3], [1, 2, 0, 0]] = 1
    np.testing.assert_array_equal(graph.copurchase.matrix(5).toarray(), dense)
    assert [end.tolist() for end in graph.coview.matrix(5).toarray().nonzero()] == [[1, 3, 4], [3, 1, 0]]
    assert graph.copurchase.count.tolist() == [5, 1, 1, 2]


def test_lent_edges_keep_their_weights(folder: Path) -> None:
    table = pq.read_table(folder / "copurchase.parquet")
    weights = [1.0, 0.25, 1.0, 0.5]
    pq.write_table(
        table.append_column("weight", pa.array(weights, pa.float32())), folder / "copurchase.parquet"
    )
    edges = load_graph(folder).copurchase
    dense = np.zeros((5, 5))
    dense[[0, 0, 2, 3], [1, 2, 0, 0]] = weights
    np.testing.assert_array_equal(edges.matrix(5).toarray(), dense)
    np.testing.assert_array_equal(edges.both_ways().matrix(5).toarray(), np.maximum(dense, dense.T))
    moved = renumbered(edges.only(np.array([1, 3])), np.array([4, -1, 3, 2, -1]))
    assert (moved.source.tolist(), moved.target.tolist()) == ([4, 2], [3, 4])
    assert moved.weight is not None
    assert moved.weight.tolist() == [0.25, 0.5]


def test_the_training_part_has_no_held_out_edge(folder: Path) -> None:
    graph = load_graph(folder)
    part = graph.training_part()
    assert list(zip(part.copurchase.source, part.copurchase.target, strict=True)) == [(0, 1), (3, 0)]
    assert part.split.tolist() == [Split.TRAIN, Split.TRAIN]
    assert len(part.coview) == len(graph.coview)
    assert len(graph.edges(Split.VALIDATION, Split.TEST)) == 2
    assert graph.edges(Split.TEST).target.tolist() == [2]


def test_without_coviews_the_copurchases_and_their_split_are_the_same(folder: Path) -> None:
    graph = load_graph(folder)
    alone = graph.without_coviews()
    assert len(graph.coview) == 3
    assert len(alone.coview) == len(alone.coview_split) == len(alone.coviews(*Split)) == 0
    assert alone.copurchase is graph.copurchase
    assert alone.split is graph.split


def test_edges_are_chosen_by_number_as_by_flag(folder: Path) -> None:
    edges = load_graph(folder).copurchase
    flagged, numbered = edges.only(edges.source == 0), edges.only(np.array([1, 0]))
    assert [flagged.target.tolist(), flagged.count.tolist()] == [[1, 2], [5, 1]]
    assert [numbered.target.tolist(), numbered.count.tolist()] == [[2, 1], [1, 5]]
    assert [edges.evenly(most).count.tolist() for most in (2, 9)] == [[5, 2], [5, 1, 1, 2]]
    assert len(edges.only(edges.count > 9).evenly(2)) == 0


def test_a_coview_pair_comes_once_whichever_way_it_is_listed(folder: Path) -> None:
    graph = load_graph(folder)
    pairs = {split: graph.coviews(split) for split in Split}
    assert [pairs[Split.VALIDATION].source.tolist(), pairs[Split.VALIDATION].target.tolist()] == [[1], [3]]
    assert pairs[Split.VALIDATION].count.tolist() == [6]
    assert [pairs[Split.TRAIN].source.tolist(), pairs[Split.TRAIN].target.tolist()] == [[0], [4]]
    assert len(pairs[Split.TEST]) == 0
    assert len(graph.coviews(*Split)) == 2


def test_an_edge_that_is_listed_twice_is_one_in_the_matrix() -> None:
    twice = np.array([1, 1])
    none = Edges(*3 * (twice[:0],))
    split = np.zeros(2, np.int8)
    graph = ProductGraph(pa.array(["a", "b"]), Edges(twice, twice - 1, twice), none, split, split[:0])
    np.testing.assert_array_equal(graph.copurchase.matrix(2).toarray(), [[0, 0], [1, 0]])
