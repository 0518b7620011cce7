"""Training in several processes, as `torchrun` starts them.

All processes run the same command. Only the first one writes versions, runs and releases. The others train with it:
each takes its share of the batches, and gradients are averaged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # `twinvec status` calls `is_first`, and should not wait for torch.
    from torch import Tensor, nn

T = TypeVar("T")
# The other processes wait while the first one reads or writes a whole catalogue.
LONGEST_WAIT = timedelta(hours=12)


def count() -> int:
    """Return the number of processes that run together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_first() -> bool:
    """Return whether this is the process that writes versions, runs and releases; a single process is."""
    return rank() == 0


@contextmanager
def process_group() -> Iterator[None]:
    """Join the other processes for the duration of the context; a single process does nothing."""
    if count() == 1:
        yield
        return
    import torch
    from torch import distributed

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if distributed.is_initialized():  # By Ray Train, which ends it, too.
        yield
        return
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=LONGEST_WAIT
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


def wait() -> None:
    """Wait until all processes have called this."""
    if count() > 1:
        from torch import distributed

        distributed.barrier()


def parallel(model: nn.Module) -> nn.Module:
    """Return a model whose backward pass averages gradients over the processes; a single process gets the model."""
    if count() == 1:
        return model
    from torch.nn.parallel import DistributedDataParallel

    return DistributedDataParallel(model)


def share(items: Iterator[T]) -> Iterator[T]:
    """Yield this process's share of `items`: one of each `count()` items; an incomplete last round is dropped."""
    while len(round_ := list(islice(items, count()))) == count():
        yield round_[rank()]


def total(values: Tensor) -> Tensor:
    """Return the sum of `values` over the processes, float64."""
    import torch
    from torch import distributed

    summed = values.to(torch.float64)
    if count() > 1:
        distributed.all_reduce(summed)
    return summed
