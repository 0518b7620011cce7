"""The problem that every baseline solves: rank products from training edges and content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from pipelines.graph.product_graph import Edges, ProductGraph
from twinvec.errors import TwinvecError

FloatArray = npt.NDArray[np.float32]


class UnsuitedError(TwinvecError):
    """A baseline cannot be fitted on a catalogue like this one; its row is left out of tables."""


@dataclass(frozen=True)
class RankingProblem:
    """Ranking of all products as targets of each source, from a graph without its held-out co-purchases.

    Attributes:
        graph: The training part of a product graph: a baseline may use all of its edges.
        content: Space → vectors of length one, float32 [n, d], rows of zeros where a product has none.
        dimension: Length of the vectors that a baseline learns.
        seed: Seed of everything random.
    """

    graph: ProductGraph
    content: Mapping[str, FloatArray]
    dimension: int
    seed: int

    def copurchases(self) -> sp.csr_array:
        """Return the adjacency matrix of the co-purchase edges, float32 [n, n]."""
        return self.graph.copurchase.matrix(self.graph.products)

    def copurchase_counts(self) -> sp.csr_array:
        """Return how often each pair was bought, float32 [n, n]."""
        return counts(self.graph.copurchase, self.graph.products)


def counts(edges: Edges, products: int) -> sp.csr_array:
    """Return how often each pair was observed, float32 [n, n]."""
    values = edges.count.astype(np.float32)
    return sp.csr_array((values, (edges.source, edges.target)), shape=(products, products))
