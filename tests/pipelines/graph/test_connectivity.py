"""Connectivity of a graph, against counting parts one edge at a time."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from pipelines.graph.connectivity import largest_component, spare_edges

NODES = 31


def adjacency(source: np.ndarray, target: np.ndarray) -> sp.csr_array:
    return sp.csr_array((np.ones(len(source), np.float32), (source, target)), shape=(NODES, NODES))


@pytest.mark.parametrize("seed", range(4))
def test_all_spare_edges_at_once_part_nothing_and_no_other_could_go(seed: int) -> None:
    edges = np.unique(np.random.default_rng(seed).integers(0, NODES, (45, 2)), axis=0)
    source, target = edges[edges[:, 0] != edges[:, 1]].T
    spare = spare_edges(source, target, NODES)
    parts, _ = connected_components(adjacency(source, target), directed=False)
    left, _ = connected_components(adjacency(source[~spare], target[~spare]), directed=False)
    assert 0 < spare.sum() < len(spare)
    assert left == parts
    pairs = {(min(u, v), max(u, v)) for u, v in zip(source[~spare], target[~spare], strict=True)}
    assert len(pairs) == NODES - parts, "a forest"


def test_the_forest_is_that_of_the_first_edges_and_keeps_their_reverses() -> None:
    # In order: 0-1, 0-2, then 1-2, which closes a ring; 2 → 0 is of the same pair as 0 → 2.
    source, target = np.array([1, 0, 2, 0]), np.array([2, 1, 0, 2])
    np.testing.assert_array_equal(spare_edges(source, target, 3), [True, False, False, False])


def test_the_largest_part_is_found_whichever_way_edges_point() -> None:
    source, target = np.array([5, 9, 7, 2]), np.array([7, 7, 3, 1])
    np.testing.assert_array_equal(largest_component(adjacency(source, target)), [3, 5, 7, 9])
