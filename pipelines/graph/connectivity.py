"""What holds a graph together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

IntArray = npt.NDArray[np.int64]


def largest_component(matrix: sp.csr_array) -> IntArray:
    """Nodes of the largest part of a directed graph that hangs together, whichever way its edges point, ascending.

    Args:
        matrix: adjacency, [n, n].
    """
    _, component = connected_components(matrix, directed=True, connection="weak")
    return np.flatnonzero(component == np.bincount(component).argmax()).astype(np.int64)


def spare_edges(source: IntArray, target: IntArray, nodes: int) -> npt.NDArray[np.bool_]:
    """Which directed edges may all be taken away together without parting anything that hangs together.

    The others, and their reverses where there are any, are a spanning forest of the undirected graph: Kruskal's, which
    takes edges in the order of their lower and then their higher node.

    Args:
        source, target: int64 [edges].
        nodes: how many there are.

    Returns:
        bool [edges].
    """
    low, high = np.minimum(source, target), np.maximum(source, target)
    pair = low * nodes + high
    order, place = np.unique(pair, return_inverse=True)
    weights = sp.csr_array((np.arange(1.0, len(order) + 1), (order // nodes, order % nodes)), (nodes, nodes))
    forest = minimum_spanning_tree(weights).tocoo()
    spare: npt.NDArray[np.bool_] = ~np.isin(
        order, forest.coords[0].astype(np.int64) * nodes + forest.coords[1]
    )
    return spare[place]
