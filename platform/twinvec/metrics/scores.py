"""Scores of pairs of products: dot products of two vectors each, sparse matrices, candidates only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

IntArray = npt.NDArray[np.int64]

# Dot products of the same vectors, summed in another order, differ by less than this share of |s_u| |t_v|.
ROUNDING = 1e-6


class Scores(Protocol):
    """Scores of every product as a target for every product as a source."""

    @property
    def products(self) -> int:
        """Number of products, n."""

    @property
    def device(self) -> torch.device:
        """Device of the scores."""

    def block(self, sources: IntArray, low: int, high: int) -> Tensor:
        """Return the scores of the products `low` to `high` for some sources, float32 [sources, high − low]."""

    def pairs(self, sources: IntArray, targets: IntArray) -> Tensor:
        """Return the scores of pairs, float32 [pairs]."""

    def rounding(self, sources: IntArray, targets: IntArray) -> Tensor:
        """Return the difference from each pair's score up to which another counts as equal, float32 [pairs]."""


@dataclass(frozen=True)
class DotProducts:
    """Dot products s_u·t_v.

    Attributes:
        source, target: Vectors of all products in either role, float32 [n, d], on one device.

    Example:
        >>> import numpy as np, torch
        >>> scores = DotProducts(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]]))
        >>> scores.block(np.array([1]), 0, 2)
        tensor([[6., 8.]])
    """

    source: Tensor
    target: Tensor

    @property
    def products(self) -> int:
        """Number of products, n."""
        return self.target.shape[0]

    @property
    def device(self) -> torch.device:
        """Device of the vectors."""
        return self.target.device

    def block(self, sources: IntArray, low: int, high: int) -> Tensor:
        """Return the scores of the products `low` to `high` for some sources, float32 [sources, high − low]."""
        return self.source[sources] @ self.target[low:high].T

    def pairs(self, sources: IntArray, targets: IntArray) -> Tensor:
        """Return the scores of pairs, float32 [pairs]."""
        return (self.source[sources] * self.target[targets]).sum(1)

    def rounding(self, sources: IntArray, targets: IntArray) -> Tensor:
        """Return the largest change that another order of summing makes, float32 [pairs]."""
        source, target = self.source[sources], self.target[targets]
        lengths: Tensor = torch.linalg.vector_norm(source, dim=1) * torch.linalg.vector_norm(target, dim=1)
        return ROUNDING * lengths


@dataclass(frozen=True)
class SparseScores:
    """Scores that are zero for most pairs.

    Attributes:
        matrix: Scores, float32 [n, n].
    """

    matrix: sp.csr_array

    @property
    def products(self) -> int:
        """Number of products, n."""
        return int(self.matrix.shape[0])

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    def block(self, sources: IntArray, low: int, high: int) -> Tensor:
        """Return the scores of the products `low` to `high` for some sources, float32 [sources, high − low]."""
        return torch.from_numpy(self.matrix[sources][:, low:high].toarray())

    def pairs(self, sources: IntArray, targets: IntArray) -> Tensor:
        """Return the scores of pairs, float32 [pairs]."""
        return torch.from_numpy(np.asarray(self.matrix[sources, targets], np.float32).ravel())

    def rounding(self, sources: IntArray, targets: IntArray) -> Tensor:
        """Return zeros: these scores have no rounding."""
        return torch.zeros(len(sources))


@dataclass(frozen=True)
class SparseTimesDense:
    """Scores X B of a sparse and a dense matrix.

    Attributes:
        rows: X, float32 [n, n].
        weights: B, float32 [n, n], on the CPU.

    Example:
        >>> import numpy as np, scipy.sparse as sp, torch
        >>> scores = SparseTimesDense(sp.csr_array(np.array([[0, 2], [0, 0]], np.float32)), torch.ones(2, 2))
        >>> scores.block(np.array([0]), 0, 2)
        tensor([[2., 2.]])
    """

    rows: sp.csr_array
    weights: Tensor

    @property
    def products(self) -> int:
        """Number of products, n."""
        return int(self.rows.shape[0])

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    def block(self, sources: IntArray, low: int, high: int) -> Tensor:
        """Return the scores of the products `low` to `high` for some sources, float32 [sources, high − low]."""
        return torch.from_numpy(self.rows[sources] @ self.weights[:, low:high].numpy())

    def pairs(self, sources: IntArray, targets: IntArray) -> Tensor:
        """Return the scores of pairs, float32 [pairs]."""
        return self._sum(sources, targets, absolute=False)

    def rounding(self, sources: IntArray, targets: IntArray) -> Tensor:
        """Return the largest change that another order of summing makes, float32 [pairs]."""
        return ROUNDING * self._sum(sources, targets, absolute=True)

    def _sum(self, sources: IntArray, targets: IntArray, absolute: bool) -> Tensor:
        """Return the sum of the products, or of their absolute values, of each pair, float32 [pairs]."""
        chosen = self.rows[sources].tocoo()
        pair, product = chosen.coords
        terms = chosen.data * self.weights.numpy()[product, targets[pair]]
        summed = np.bincount(pair, np.abs(terms) if absolute else terms, minlength=len(sources))
        return torch.from_numpy(summed.astype(np.float32))


@dataclass(frozen=True)
class CandidateScores:
    """Dot products with candidates; all other products score minus infinity in a ranking.

    Attributes:
        dots: Dot products of all products.
        candidate: Candidates, bool [n], on the device of the vectors.
    """

    dots: DotProducts
    candidate: Tensor

    @property
    def products(self) -> int:
        """Number of products, n."""
        return self.dots.products

    @property
    def device(self) -> torch.device:
        """Device of the vectors."""
        return self.dots.device

    def block(self, sources: IntArray, low: int, high: int) -> Tensor:
        """Return the scores of the products `low` to `high` for some sources, float32 [sources, high − low]."""
        return self.dots.block(sources, low, high).masked_fill(~self.candidate[low:high], -torch.inf)

    def pairs(self, sources: IntArray, targets: IntArray) -> Tensor:
        """Return the scores of pairs, float32 [pairs]."""
        return self.dots.pairs(sources, targets)

    def rounding(self, sources: IntArray, targets: IntArray) -> Tensor:
        """Return the difference from each pair's score up to which another counts as equal, float32 [pairs]."""
        return self.dots.rounding(sources, targets)


def in_batches(
    function: Callable[[IntArray, IntArray], Tensor],
    sources: IntArray,
    targets: IntArray,
    batch: int = 65_536,
) -> npt.NDArray[np.float32]:
    """Call a function such as `Scores.pairs` on a batch of pairs at a time; return its values, float32 [pairs]."""
    parts = [
        function(sources[first : first + batch], targets[first : first + batch]).cpu()
        for first in range(0, len(sources), batch)
    ]
    return torch.cat(parts).numpy() if parts else np.empty(0, np.float32)
