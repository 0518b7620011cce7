"""The interface of an objective: batches, and the loss of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from torch import Tensor


class Batch(Protocol):
    """Nodes whose vectors are needed, and the loss of these vectors."""

    @property
    def seeds(self) -> Tensor:
        """Distinct nodes of the graph, int64 [seeds]."""
        ...

    def loss(self, vectors: Tensor) -> Tensor:
        """Return the loss, a scalar, of the seeds' vectors, [seeds, d]."""
        ...


class Objective(Protocol):
    """A training objective: yields batches that know their loss."""

    def batches(self, generator: np.random.Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch, in random order."""
        ...
