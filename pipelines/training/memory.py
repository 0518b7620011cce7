"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""`M_TRIM_THRESHOLD` and `M_MMAP_MAX` of malloc.h."""

_KEPT = 2**30
"""Bytes at the top of the heap that may stay unused."""


def keep_freed_memory() -> None:
    """Have this process use freed memory again in place of giving it back to the system at once.

    The tensors of a step are of tens to hundreds of MiB, and the next step needs as many. By default, glibc returns
    each of them when it is freed, and the system clears every page of the next: about a third of a step on a CPU. On
    other systems this does nothing.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)
