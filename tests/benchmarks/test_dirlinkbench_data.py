"""DirLinkBench's protocol, against its definition, on a small graph of documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.sparse.csgraph import connected_components

from benchmarks.dirlinkbench_data import figures, judge, read_documents, split
from twinvec.errors import CatalogueError
from twinvec.metrics.scores import DotProducts

NODES = 60


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(11)
    dense = random.random((NODES, NODES)) < 0.06
    dense[:, -4:] = dense[-4:] = False
    np.fill_diagonal(dense, False)
    dense[-4, -3] = dense[-2, -1] = True  # parts of their own
    dense[5, 5] = True  # a loop
    arrays: dict[str, np.ndarray] = {}
    for name, matrix in {"adj": dense, "attr": random.random((NODES, 9)) < 0.4}.items():
        sparse = sp.csr_array(matrix.astype(np.float32))
        parts = {
            "data": sparse.data,
            "indices": sparse.indices,
            "indptr": sparse.indptr,
            "shape": sparse.shape,
        }
        arrays |= {f"{name}_{part}": np.array(value) for part, value in parts.items()}
    path = tmp_path_factory.mktemp("documents") / "small.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def pairs_of(ends: tuple[np.ndarray, np.ndarray]) -> set[tuple[int, int]]:
    return set(zip(ends[0].tolist(), ends[1].tolist(), strict=True))


def test_documents_are_the_largest_part_without_loops(file: Path) -> None:
    documents = read_documents(file)
    parts, _ = connected_components(documents.citations, directed=False)
    assert parts == 1
    assert documents.citations.diagonal().sum() == 0
    assert documents.citations.shape[0] == documents.words.shape[0] < NODES
    with np.load(file) as arrays:
        whole = sp.csr_array((arrays["adj_data"], arrays["adj_indices"], arrays["adj_indptr"]))
    # Of what was there, the loop and the two edges of the other parts are gone.
    assert documents.citations.nnz == whole.nnz - 3


def test_a_split_holds_out_what_the_rest_can_do_without(file: Path) -> None:
    documents = read_documents(file)
    nodes, edges = documents.citations.shape[0], documents.citations.nnz
    sources, targets = documents.citations.tocoo().coords
    every = pairs_of((sources, targets))
    tests = []
    for seed in (1, 2, 1):
        task = split(documents, seed)
        train = pairs_of((task.graph.copurchase.source, task.graph.copurchase.target))
        test, validation = pairs_of(task.test.edges), pairs_of(task.validation.edges)
        assert (len(test), len(validation)) == (int(0.15 * edges), int(0.05 * edges))
        assert train | test | validation == every
        assert len(train) + len(test) + len(validation) == edges
        assert connected_components(task.graph.copurchase.matrix(nodes), directed=False)[0] == 1
        none, neither = pairs_of(task.test.others), pairs_of(task.validation.others)
        assert (len(none), len(neither)) == (len(test), len(validation))
        assert none.isdisjoint(every | neither)
        assert all(u != v for u, v in none | neither)
        tests.append((test, none))
    assert tests[0] == tests[2] != tests[1]


def test_figures_are_those_of_counting() -> None:
    random = np.random.default_rng(3)
    positive, negative = (random.integers(0, 60, count).astype(np.float32) for count in (70, 130))
    hundredth = sorted(negative.tolist(), reverse=True)[99]
    ranks = [1 + (negative > own).sum() + (negative == own).sum() / 2 for own in positive]
    order = [1.0 if own > other else 0.5 if own == other else 0.0 for own in positive for other in negative]
    found = figures(positive, negative)
    assert found.hits_at_100 == pytest.approx(np.mean(positive > hundredth))
    assert found.mrr == pytest.approx(np.mean(1 / np.array(ranks)))
    assert found.auc == pytest.approx(np.mean(order))
    assert figures(positive, negative[:99]).hits_at_100 == 1


def test_a_model_without_knowledge_is_at_chance(file: Path) -> None:
    documents = read_documents(file)
    vectors = torch.ones(documents.citations.shape[0], 2)
    assert judge(DotProducts(vectors, vectors), split(documents, 0).test).auc == 0.5


def test_what_cannot_be_read_or_split_is_said(file: Path, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"nowhere\.npz cannot be read"):
        read_documents(tmp_path / "nowhere.npz")
    np.savez(tmp_path / "other.npz", values=np.zeros(3))
    with pytest.raises(CatalogueError, match="adj_data"):
        read_documents(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(CatalogueError, match=r"text\.npz"):
        read_documents(tmp_path / "text.npz")
    documents = read_documents(file)
    size = documents.citations.shape[0]
    chain = sp.csr_array(
        (np.ones(size - 1, np.float32), (np.arange(size - 1), np.arange(1, size))), (size, size)
    )
    with pytest.raises(CatalogueError, match="before the graph falls apart"):
        split(type(documents)(chain, documents.words), 0)
