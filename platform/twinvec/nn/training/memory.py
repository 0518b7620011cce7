"""Reuse of freed memory by the C library during training."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of `mallopt` in malloc.h, with their defaults in glibc.
_TRIM_THRESHOLD, _AT_TOP = -1, 128 * 2**10
_MMAP_MAX, _MAPPINGS = -4, 65_536


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Reuse freed memory within this context instead of returning it to the system at once.

    The tensors of a step take tens to hundreds of MiB, and so do those of the next step. By default, glibc returns each
    tensor's memory when it is freed, and the system clears every page of the next: about a third of a step on a CPU.
    Free memory is returned at the end of the context, and at its beginning, so that what was freed before does not add
    to it. On systems without glibc this does nothing.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "gnu_get_libc_version"):
        yield
        return
    assert library is not None
    library.malloc_trim(ctypes.c_size_t(0))
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, 2**30)
    try:
        yield
    finally:
        library.mallopt(_MMAP_MAX, _MAPPINGS)
        library.mallopt(_TRIM_THRESHOLD, _AT_TOP)
        library.malloc_trim(ctypes.c_size_t(0))
