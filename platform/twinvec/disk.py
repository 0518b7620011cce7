"""A full disk, in the words of each library that writes."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

HINT = "free space on the disk, then run this again; `twinvec prune` frees some of a home"
_NUMBERS = (errno.ENOSPC, errno.EDQUOT)
# Libraries wrap the number of the error, or lose it.
_WORDS = re.compile(
    r"os error (28|122)\b|errno (28|122)\b|no space left on device|disk quota exceeded"  # Edge, Arrow, DuckDB, torch
    r"|database or disk is full"  # SQLite
    r"|failed to offload data block|max_temp_directory_size"  # DuckDB, where it spills
    r"|\d+ requested and \d+ written"  # NumPy
    r"|not enough space available",  # Edge, before it builds an index
    re.IGNORECASE,
)


def is_full(error: BaseException) -> bool:
    """Return True if an error, or one that it was raised from or during, says that a disk is full."""
    return any(
        (isinstance(each, OSError) and each.errno in _NUMBERS) or _WORDS.search(str(each)) is not None
        for each in _chain(error)
    )


def require_room(folder: Path, size: int) -> None:
    """Raise OSError if the disk of a folder, or of the folder that it will be in, has fewer bytes free than `size`.

    It is for what is written through mapped memory: a disk that is full then ends the process (SIGBUS).
    """
    while not folder.exists():
        folder = folder.parent
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if free < size:
        what = f"{free / 2**20:,.1f} MiB are free, and {size / 2**20:,.1f} MiB are needed"
        raise OSError(errno.ENOSPC, what, str(folder))


def in_memory(folder: Path) -> bool:
    """Return True if a folder lies on a tmpfs, where a hole of a file takes room as soon as it is read."""
    try:
        mounts = [line.split(" ") for line in Path("/proc/self/mounts").read_text("utf-8").splitlines()]
    except OSError:  # another system than Linux
        return False
    path = folder.resolve()
    around = [(point, kind) for _, point, kind, *_ in mounts if path.is_relative_to(point)]
    return max(around, key=lambda mount: len(mount[0]), default=("", ""))[1] == "tmpfs"


def bytes_of_holes(files: Iterable[Path]) -> int:
    """Return the bytes that files would take, and do not take yet."""
    status = [file.stat() for file in files]
    return sum(max(0, each.st_size - 512 * each.st_blocks) for each in status)


def _chain(error: BaseException) -> Iterator[BaseException]:
    visited: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in visited:
            continue
        visited.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__]
