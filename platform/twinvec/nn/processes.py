"""More than one process, as `torchrun` starts them.

All of them run the same command. The first one alone keeps the books: it writes versions, runs and releases. The
others train along with it: each takes its share of the batches, and gradients are averaged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # `twinvec status` asks for `is_first`, and should not wait for torch.
    from torch import Tensor, nn

T = TypeVar("T")
# The others wait while the first one reads or writes a whole catalogue.
LONGEST_WAIT = timedelta(hours=12)


def count() -> int:
    """How many processes run together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process that keeps the books; alone, it is."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def together() -> Iterator[None]:
    """Join the other processes for as long as the block lasts; alone, nothing happens."""
    if count() == 1:
        yield
        return
    import torch
    from torch import distributed

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=LONGEST_WAIT
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


def wait() -> None:
    """Wait until all processes have come here."""
    if count() > 1:
        from torch import distributed

        distributed.barrier()


def parallel(model: nn.Module) -> nn.Module:
    """A model whose backward pass averages gradients over the processes; alone, the model itself."""
    if count() == 1:
        return model
    from torch.nn.parallel import DistributedDataParallel

    return DistributedDataParallel(model)


def share(items: Iterator[T]) -> Iterator[T]:
    """This process's part of what all processes iterate over: one of each round of `count()`, whole rounds only."""
    mine = int(os.environ.get("RANK", "0"))
    while len(some := list(islice(items, count()))) == count():
        yield some[mine]


def total(values: Tensor) -> Tensor:
    """The sum over the processes, float64."""
    import torch
    from torch import distributed

    summed = values.to(torch.float64)
    if count() > 1:
        distributed.all_reduce(summed)
    return summed
