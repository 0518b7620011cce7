"""What the training loop asks of an objective: batches, and the loss of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from torch import Tensor


class Batch(Protocol):
    """Some nodes whose vectors are needed, and the loss of these."""

    @property
    def seeds(self) -> Tensor:
        """Distinct nodes of the double cover, int64."""
        ...

    def loss(self, vectors: Tensor) -> Tensor:
        """The loss, a scalar, of the vectors of the seeds, [seeds, d]."""
        ...


class Objective(Protocol):
    """What is trained on."""

    def batches(self, generator: np.random.Generator) -> Iterator[Batch]:
        """One epoch's batches, in random order."""
        ...
