"""More than one process, as `torchrun` starts them: each takes its share of the batches, gradients are averaged."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def parallel(model: nn.Module) -> nn.Module:
    """A model whose backward pass averages gradients over the processes; alone, the model itself."""
    return DistributedDataParallel(model) if count() > 1 else model


def share(items: Iterator[T]) -> Iterator[T]:
    """This process's part of what all processes iterate over: one of each round of `count()`, whole rounds only."""
    together = count()
    mine = distributed.get_rank() if together > 1 else 0
    while len(some := list(islice(items, together))) == together:
        yield some[mine]


def total(values: Tensor) -> Tensor:
    """The sum over the processes, float64."""
    summed = values.to(torch.float64)
    if count() > 1:
        distributed.all_reduce(summed)
    return summed
