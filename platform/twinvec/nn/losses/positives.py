"""Positives of each source: a distribution over products, and draws from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor


@dataclass(frozen=True)
class Positives:
    """For each product as a source, a distribution over its positive targets.

    Attributes:
        matrix: float32 [n, n], each row summing to one or to zero; rows with entries are trained on.

    Example:
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> import torch
        >>> positives = Positives(rows_to_one(sp.csr_array(np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0]]))))
        >>> positives.sources().tolist()
        [0, 2]
        >>> positives.draw(torch.tensor([0, 2]), count=4, generator=np.random.default_rng(0)).shape
        torch.Size([2, 4])
    """

    matrix: sp.csr_array

    @cached_property
    def cumulative(self) -> npt.NDArray[np.float64]:
        """Cumulative sum of the entries, row after row. It rises by one a row, so that drawing is a binary search."""
        return np.cumsum(self.matrix.data, dtype=np.float64)

    def popularity(self) -> Tensor:
        """Return the probability that a positive of a random source is this product, float32 [n]."""
        total = np.asarray(self.matrix.sum(0)).ravel()
        return torch.from_numpy((total / max(total.sum(), 1e-12)).astype(np.float32))

    def sources(self) -> Tensor:
        """Return the products that have positives, int64."""
        return torch.from_numpy(np.flatnonzero(np.diff(self.matrix.indptr)).astype(np.int64))

    def draw(self, sources: Tensor, count: int, generator: np.random.Generator) -> Tensor:
        """Draw `count` positives of each source from its row of the matrix, with replacement.

        Returns:
            int64 [sources, count].
        """
        rows = sources.numpy()
        first, last = self.matrix.indptr[rows], self.matrix.indptr[rows + 1]
        before = np.where(first > 0, self.cumulative[first - 1], 0.0)
        total = self.cumulative[last - 1] - before
        points = before[:, None] + generator.random((len(rows), count)) * total[:, None]
        place = np.clip(
            np.searchsorted(self.cumulative, points, side="right"), first[:, None], last[:, None] - 1
        )
        return torch.from_numpy(self.matrix.indices[place].astype(np.int64))

    def among(self, sources: Tensor, candidates: Tensor) -> Tensor:
        """Return the probabilities of some products, float32 [sources, candidates].

        Args:
            sources: int64 [sources].
            candidates: Distinct products in ascending order, int64 [candidates].
        """
        rows = self.matrix[sources.numpy()].tocoo()
        row, product = rows.coords
        place = np.full(self.matrix.shape[1], -1)
        place[candidates.numpy()] = np.arange(len(candidates))
        column = place[product]
        inside = column >= 0
        chances = np.zeros((len(sources), len(candidates)), np.float32)
        chances[row[inside], column[inside]] = rows.data[inside]
        return torch.from_numpy(chances)


def blend(edges: Positives, nearness: sp.csr_array, share: float) -> Positives:
    """Return positives of which `share` are drawn from `nearness` and the rest from `edges`.

    Args:
        edges: Positives by edges, of n products.
        nearness: Rows that sum to one or to zero, float32 [n, n].
        share: From 0 to 1.

    Example:
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> edges = Positives(sp.csr_array(np.array([[0, 1], [0, 0]], np.float32)))
        >>> nearness = sp.csr_array(np.array([[0, 1], [1, 0]], np.float32))
        >>> blend(edges, nearness, share=0.5).matrix.toarray().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    # The places of the entries are shared: at millions of products they are half of the memory.
    near = sp.csr_array((share * nearness.data, nearness.indices, nearness.indptr), shape=nearness.shape)
    return Positives(rows_to_one(sp.csr_array((1 - share) * edges.matrix + near)))


def rows_to_one(matrix: sp.csr_array) -> sp.csr_array:
    """Return the matrix with each row scaled to sum to one, float32; rows of zeros stay zero.

    Example:
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> rows_to_one(sp.csr_array(np.array([[1, 3], [0, 0]]))).toarray().tolist()
        [[0.25, 0.75], [0.0, 0.0]]
    """
    total = np.asarray(matrix.sum(1)).ravel()
    scaled = sp.csr_array(sp.diags_array(1 / np.where(total > 0, total, 1)) @ matrix)
    scaled = scaled.astype(np.float32, copy=False)
    scaled.sort_indices()
    return scaled
