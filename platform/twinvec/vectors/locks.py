"""Locks on a file between processes (`flock`): many readers, or one writer; a lock dies with its process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from twinvec.errors import StoreError

KERNEL_LOCKS = Path("/proc/locks")


def take_lock(file: Path, what: str, *, exclusive: bool) -> IO[str]:
    """Take the lock at once or not at all; closing what is returned releases it.

    Args:
        what: what the lock protects, for the message.
        exclusive: to write, alone; else to read, beside other readers.

    Raises:
        StoreError: if others hold it, naming their processes where the system tells.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    held = file.open("a")
    try:
        fcntl.flock(held, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holders = _holders(os.fstat(held.fileno()).st_ino)
        held.close()
        doing = "read or written" if exclusive else "written"
        raise StoreError(
            f"{what} is being {doing} by {' and '.join(holders) or 'another process'}",
            "wait for it to end or stop it; if many must read while one publishes, "
            "run a Qdrant server and set qdrant.url",
        ) from error
    return held


def wait_for_lock(file: Path) -> IO[str]:
    """Take the exclusive lock, waiting for it: only for what takes a moment."""
    file.parent.mkdir(parents=True, exist_ok=True)
    held = file.open("a")
    fcntl.flock(held, fcntl.LOCK_EX)
    return held


def _holders(inode: int) -> list[str]:
    # A line of /proc/locks: `3: FLOCK  ADVISORY  WRITE 4711 08:01:131090 0 EOF`.
    if not KERNEL_LOCKS.exists():
        return []
    lines = [line.split() for line in KERNEL_LOCKS.read_text().splitlines()]
    processes = sorted({int(line[4]) for line in lines if line[1] == "FLOCK" and _inode(line) == inode})
    return ["this process" if pid == os.getpid() else f"process {pid}" for pid in processes]


def _inode(line: list[str]) -> int:
    return int(line[5].rsplit(":", 1)[-1])
