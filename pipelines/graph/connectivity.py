"""Connectivity of graphs: the largest component, and edges outside a spanning forest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

IntArray = npt.NDArray[np.int64]


def largest_component(matrix: sp.csr_array) -> IntArray:
    """Return the nodes of the largest weakly connected component of a directed graph, ascending.

    Args:
        matrix: Adjacency matrix, [n, n].
    """
    _, component = connected_components(matrix, directed=True, connection="weak")
    return np.flatnonzero(component == np.bincount(component).argmax()).astype(np.int64)


def spare_edges(source: IntArray, target: IntArray, nodes: int) -> npt.NDArray[np.bool_]:
    """Return which directed edges can all be removed together without splitting a connected component, bool [edges].

    The other edges and their reverses are a spanning forest of the undirected graph, by Kruskal's algorithm, which
    takes edges in the order of their lower and then their higher node.

    Args:
        source: Source of each edge, int64 [edges].
        target: Target of each edge, int64 [edges].
        nodes: Number of nodes.
    """
    low, high = np.minimum(source, target), np.maximum(source, target)
    pair = low * nodes + high
    order, inverse = np.unique(pair, return_inverse=True)
    weights = sp.csr_array((np.arange(1.0, len(order) + 1), (order // nodes, order % nodes)), (nodes, nodes))
    forest = minimum_spanning_tree(weights).tocoo()
    spare: npt.NDArray[np.bool_] = ~np.isin(
        order, forest.coords[0].astype(np.int64) * nodes + forest.coords[1]
    )
    return spare[inverse]
