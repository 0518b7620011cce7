"""What ranks products for a source: dot products of two vectors each, or a sparse matrix of scores."""

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

# Two dot products of the same vectors, summed in another order, differ by less than this share of |s_u| |t_v|.
ROUNDING = 1e-6


class Scores(Protocol):
    """Scores of every product as a target for every product as a source."""

    @property
    def products(self) -> int:
        """How many products there are, n."""

    @property
    def device(self) -> torch.device:
        """Where scores are."""

    def block(self, sources: IntArray, low: int, high: int) -> Tensor:
        """Scores of the products `low` to `high` for some sources, float32 [sources, high − low]."""

    def pairs(self, sources: IntArray, targets: IntArray) -> Tensor:
        """Scores of pairs, float32 [pairs]."""

    def rounding(self, sources: IntArray, targets: IntArray) -> Tensor:
        """Differences from a pair's score up to which another counts as equal, float32 [pairs]."""


@dataclass(frozen=True)
class DotProducts:
    """s_u·t_v.

    Attributes:
        source, target: float32 [n, d], on one device.
    """

    source: Tensor
    target: Tensor

    @property
    def products(self) -> int:
        """How many products there are, n."""
        return self.target.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the vectors are."""
        return self.target.device

    def block(self, sources: IntArray, low: int, high: int) -> Tensor:
        """Scores of the products `low` to `high` for some sources, float32 [sources, high − low]."""
        return self.source[sources] @ self.target[low:high].T

    def pairs(self, sources: IntArray, targets: IntArray) -> Tensor:
        """Scores of pairs, float32 [pairs]."""
        return (self.source[sources] * self.target[targets]).sum(1)

    def rounding(self, sources: IntArray, targets: IntArray) -> Tensor:
        """What summing in another order may change, float32 [pairs]."""
        source, target = self.source[sources], self.target[targets]
        lengths: Tensor = torch.linalg.vector_norm(source, dim=1) * torch.linalg.vector_norm(target, dim=1)
        return ROUNDING * lengths


@dataclass(frozen=True)
class SparseScores:
    """Scores that are zero for most pairs.

    Attributes:
        matrix: float32 [n, n].
    """

    matrix: sp.csr_array

    @property
    def products(self) -> int:
        """How many products there are, n."""
        return int(self.matrix.shape[0])

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    def block(self, sources: IntArray, low: int, high: int) -> Tensor:
        """Scores of the products `low` to `high` for some sources, float32 [sources, high − low]."""
        return torch.from_numpy(self.matrix[sources][:, low:high].toarray())

    def pairs(self, sources: IntArray, targets: IntArray) -> Tensor:
        """Scores of pairs, float32 [pairs]."""
        return torch.from_numpy(np.asarray(self.matrix[sources, targets], np.float32).ravel())

    def rounding(self, sources: IntArray, targets: IntArray) -> Tensor:
        """None: equal scores are equal."""
        return torch.zeros(len(sources))


def in_batches(
    of_pairs: Callable[[IntArray, IntArray], Tensor],
    sources: IntArray,
    targets: IntArray,
    batch: int = 65_536,
) -> npt.NDArray[np.float32]:
    """What a function such as `Scores.pairs` gives for each pair, a batch of them at once, float32 [pairs]."""
    parts = [
        of_pairs(sources[first : first + batch], targets[first : first + batch]).cpu()
        for first in range(0, len(sources), batch)
    ]
    return torch.cat(parts).numpy() if parts else np.empty(0, np.float32)
