"""Peak memory of a piece of work, in one process that does several of them one after the other."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

T = TypeVar("T")
RESET = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")


def with_peak_memory(work: Callable[[], T], device: torch.device) -> tuple[T, int | None]:
    """Return the result of `work`, and by how many bytes memory rose at most above what was in use before.

    On a GPU this is the memory of tensors, else that of the process; None where the system cannot reset the peak, as
    Linux can.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        return work(), torch.cuda.max_memory_allocated(device) - before
    if not RESET.exists():
        return work(), None
    # Memory that earlier work freed and the allocator kept would be taken again without a rise.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    RESET.write_text("5")
    before = _resident("VmRSS")
    return work(), _resident("VmHWM") - before


def _resident(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
