"""How much memory a piece of work takes at its height, in one process that does several one after another."""

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


def measured(work: Callable[[], T], device: torch.device) -> tuple[T, int | None]:
    """What `work` gives, and by how many bytes memory rose at most above what was taken before.

    On a GPU that is the memory of tensors, else the process's own; None where the system cannot forget an earlier
    height, as Linux can.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        return work(), torch.cuda.max_memory_allocated(device) - before
    if not RESET.exists():
        return work(), None
    # What earlier work has freed but the allocator kept would be taken again without a rise.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    RESET.write_text("5")
    before = _resident("VmRSS")
    return work(), _resident("VmHWM") - before


def _resident(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
