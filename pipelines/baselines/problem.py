"""What every baseline is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from pipelines.graph.product_graph import Edges, ProductGraph

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Given:
    """A graph without its held-out co-purchases, and what is known of the products' content.

    Attributes:
        graph: all of whose edges may be used.
        content: space → vectors of length one, float32 [n, d], rows of zeros where a product has none.
        dimension: length of the vectors of those baselines that learn vectors.
        seed: of all that is drawn.
    """

    graph: ProductGraph
    content: Mapping[str, FloatArray]
    dimension: int
    seed: int

    def copurchases(self) -> sp.csr_array:
        """Adjacency of the co-purchase edges, float32 [n, n]."""
        return self.graph.copurchase.matrix(self.graph.products)

    def copurchase_counts(self) -> sp.csr_array:
        """How often each pair was bought, float32 [n, n]."""
        return counts(self.graph.copurchase, self.graph.products)


def counts(edges: Edges, products: int) -> sp.csr_array:
    """How often each pair was observed, float32 [n, n]."""
    values = edges.count.astype(np.float32)
    return sp.csr_array((values, (edges.source, edges.target)), shape=(products, products))
