"""Positives of each source: a distribution over products, and draws from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from twinvec.nn.row_blocks import in_row_blocks
from twinvec.nn.training.transfer import array_on

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Positives:
    """For each product as a source, a distribution over its positive targets.

    Attributes:
        matrix: float32 [n, n], each row summing to one or to zero; rows with entries are trained on.
        device: Device on which rows are looked up, and of the tensors that are returned.

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
    device: torch.device = CPU

    @cached_property
    def offsets(self) -> Tensor:
        """First entry of each row, and the number of entries at the end, int64 [n + 1]."""
        return array_on(self.matrix.indptr.astype(np.int64), self.device)

    @cached_property
    def products(self) -> Tensor:
        """Product of each entry, row after row, int32."""
        return array_on(self.matrix.indices, self.device)

    @cached_property
    def chances(self) -> Tensor:
        """Probability of each entry, float32."""
        return array_on(self.matrix.data, self.device)

    def to(self, device: torch.device) -> Positives:
        """Return the same on another device."""
        return Positives(self.matrix, device)

    def popularity(self) -> Tensor:
        """Return the probability that a positive of a random source is this product, float32 [n]."""
        total = np.asarray(self.matrix.sum(0)).ravel()
        return array_on((total / max(total.sum(), 1e-12)).astype(np.float32), self.device)

    def sources(self) -> Tensor:
        """Return the products that have positives, int64."""
        return array_on(np.flatnonzero(np.diff(self.matrix.indptr)).astype(np.int64), self.device)

    def draw(self, sources: Tensor, count: int, generator: np.random.Generator) -> Tensor:
        """Draw `count` positives of each source from its row of the matrix, with replacement.

        Returns:
            int64 [sources, count].
        """
        uniform = array_on(generator.random((len(sources), count)), self.device)
        _, entry, ends = self._entries(sources)
        # It rises by one a source, so that drawing is one binary search for all.
        cumulative = self.chances[entry].double().cumsum(0)
        before = torch.cat([cumulative.new_zeros(1), cumulative[ends[:-1] - 1]])
        points = before.unsqueeze(1) + uniform * (cumulative[ends - 1] - before).unsqueeze(1)
        place = torch.searchsorted(cumulative, points, right=True)
        first = torch.cat([ends.new_zeros(1), ends[:-1]])
        return self.products[entry[place.clamp(first.unsqueeze(1), ends.unsqueeze(1) - 1)]].long()

    def among(self, sources: Tensor, candidates: Tensor) -> Tensor:
        """Return the probabilities of some products, float32 [sources, candidates].

        Args:
            sources: int64 [sources].
            candidates: Distinct products in ascending order, int64 [candidates].
        """
        row, entry, _ = self._entries(sources)
        product = self.products[entry].long()
        column = torch.searchsorted(candidates, product).clamp_max(len(candidates) - 1)
        inside = candidates[column] == product
        chances = self.chances.new_zeros((len(sources), len(candidates)))
        chances[row[inside], column[inside]] = self.chances[entry[inside]]
        return chances

    def _entries(self, sources: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the entries of some rows, and where each row ends among them.

        Returns:
            Position in `sources` and place in `products` of each entry, int64 [entries] each, and the number of entries
            up to the end of each row, int64 [sources].
        """
        first = self.offsets[sources]
        counts = self.offsets[sources + 1] - first
        ends = counts.cumsum(0)
        row = torch.repeat_interleave(counts)
        entry = torch.arange(len(row), device=self.device) + (first + counts - ends)[row]
        return row, entry, ends


def blend(edges: Positives, nearness: sp.csr_array, share: float) -> Positives:
    """Return positives of which `share` are drawn from `nearness` and the rest from `edges`.

    Args:
        edges: Positives by edges, of n products.
        nearness: How near each product is as a target, float32 [n, n]; each row is scaled to sum to one.
        share: From 0 to 1.

    Example:
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> edges = Positives(sp.csr_array(np.array([[0, 1], [0, 0]], np.float32)))
        >>> nearness = sp.csr_array(np.array([[0, 1], [1, 0]], np.float32))
        >>> blend(edges, nearness, share=0.5).matrix.toarray().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """

    def rows(first: int, last: int) -> sp.csr_array:
        by_edges, near = edges.matrix[first:last], rows_to_one(nearness[first:last])
        return rows_to_one(sp.csr_array((1 - share) * by_edges + share * near))

    return Positives(in_row_blocks(rows, nearness.shape[0]))


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
