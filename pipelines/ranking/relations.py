"""The observed graph in the forms that candidates and features are computed from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from pipelines.graph.product_graph import Edges
from pipelines.ranking.sparse import FloatArray, row_numbers, scaled
from twinvec.nn.losses.positives import rows_to_one
from twinvec.nn.pagerank import Transition, keep_largest

CHUNK = 4096


@dataclass(frozen=True)
class Relations:
    """Co-purchases and co-views of n products.

    Attributes:
        out: 1 where the column is a co-purchase target of the row, float32 [n, n].
        views: 1 where two products are viewed together, symmetric, float32 [n, n].
        hub: Products with more neighbours are no middle of a path: they join everything with everything, at a cost
            that grows with the square of their neighbours.
        keep: Number of similar products that are kept for each product.
    """

    out: sp.csr_array
    views: sp.csr_array
    hub: int
    keep: int

    @classmethod
    def of(cls, copurchase: Edges, coview: Edges, products: int, hub: int, keep: int) -> Relations:
        """Return the relations of a graph's edges."""
        return cls(copurchase.matrix(products), coview.both_ways().matrix(products), hub, keep)

    @property
    def products(self) -> int:
        """Number of products, n."""
        return int(self.out.shape[0])

    @cached_property
    def into(self) -> sp.csr_array:
        """Weight of the edge from the column to the row, float32 [n, n]."""
        return sp.csr_array(self.out.T.tocsr())

    @cached_property
    def either(self) -> sp.csr_array:
        """Weight of the co-purchases that join two products, of both directions together, float32 [n, n]."""
        return sp.csr_array(self.out + self.into)

    @cached_property
    def out_degree(self) -> FloatArray:
        """Number of targets of each product, float32 [n]."""
        return np.diff(self.out.indptr).astype(np.float32)

    @cached_property
    def in_degree(self) -> FloatArray:
        """Number of sources of each product, float32 [n]."""
        return np.diff(self.into.indptr).astype(np.float32)

    @cached_property
    def view_degree(self) -> FloatArray:
        """Number of products viewed with each product, float32 [n]."""
        return np.diff(self.views.indptr).astype(np.float32)

    @cached_property
    def target_likeness(self) -> sp.csr_array:
        """Cosine of the sets of sources of two products, the largest of each row, float32 [n, n]."""
        return _likeness(self.into, self.out, self.hub, self.keep)

    @cached_property
    def source_likeness(self) -> sp.csr_array:
        """Cosine of the sets of targets of two products, the largest of each row, float32 [n, n]."""
        return _likeness(self.out, self.into, self.hub, self.keep)

    @cached_property
    def likeness(self) -> sp.csr_array:
        """Cosine of the sets of neighbours of two products, the largest of each row, float32 [n, n]."""
        return _likeness(self.either, self.either, self.hub, self.keep)

    @cached_property
    def transitions(self) -> dict[str, Transition]:
        """Name of a walk → its steps."""
        both = sp.csr_array((self.either > 0).astype(np.float32))
        kinds = {"forth": self.out, "both": both, "views": sp.csr_array(both + self.views)}
        return {name: Transition(rows_to_one(weights)) for name, weights in kinds.items()}

    @cached_property
    def second_steps(self) -> dict[str, sp.csr_array]:
        """Name of a relation → its matrix without the rows of hubs, float32 [n, n]: the second steps of paths."""
        kinds = {"forth": self.out, "back": self.into, "both": self.either, "views": self.views}
        return {name: _without_hubs(matrix, self.hub) for name, matrix in kinds.items()}

    @cached_property
    def middle_weights(self) -> dict[str, FloatArray]:
        """Name of a weight → weight of each product as the middle of a path, float32 [n]."""
        degree = self.in_degree + self.out_degree
        return {
            "adamic": 1 / np.log(np.maximum(degree, 2)),
            "resource": 1 / np.maximum(degree, 1),
            "in": 1 / np.maximum(self.in_degree, 1),
            "out": 1 / np.maximum(self.out_degree, 1),
        }


def _without_hubs(matrix: sp.csr_array, hub: int) -> sp.csr_array:
    return scaled(matrix, rows=np.diff(matrix.indptr) <= hub)


def _likeness(sets: sp.csr_array, inverse: sp.csr_array, hub: int, keep: int) -> sp.csr_array:
    """Return the cosine of the rows of `sets`, without the diagonal, in the memory of some rows at a time.

    Args:
        sets: Float32 [n, n]; `inverse` is its transpose.
    """
    norm = np.sqrt(np.asarray(sets.multiply(sets).sum(1)).ravel())
    weight = 1 / np.maximum(norm, 1e-12)
    second = scaled(_without_hubs(inverse, hub), columns=weight)
    parts = []
    for first in range(0, sets.shape[0], CHUNK):
        some = slice(first, first + CHUNK)
        product = sp.csr_array(scaled(sp.csr_array(sets[some]), rows=weight[some]) @ second)
        product.data[product.indices == row_numbers(product) + first] = 0
        product.eliminate_zeros()
        parts.append(keep_largest(product, keep))
    return sp.csr_array(sp.vstack(parts, format="csr"))
