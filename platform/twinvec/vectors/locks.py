"""Locks on a file between processes (`flock`): many readers, or one writer; a lock dies with its process.

A writer leaves a line in the file, `<pid> <moment>`, so that an error can name it; readers are named by the kernel. A
reader needs no right to write: without it, the file is opened for reading, and where there is none, and none can be
made, there can be no writer either.
"""

from __future__ import annotations

import fcntl
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from twinvec.errors import StoreError
from twinvec.files import UNWRITABLE

KERNEL_LOCKS = Path("/proc/locks")
POLL_SECONDS = 0.02


def take_lock(file: Path, what: str, *, exclusive: bool, patience: float = 0.0) -> IO[str]:
    """Take the lock, or give up. Closing the returned file releases it.

    Args:
        what: Name of what the lock protects, for the message.
        exclusive: True for the one writer; False for one of many readers.
        patience: Seconds to wait for the holders.

    Raises:
        StoreError: If others still hold it, naming their processes and since when.
    """
    deadline = time.monotonic() + patience
    held = _open(file, exclusive)
    while True:
        try:
            fcntl.flock(held, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                continue
            holders = " and ".join(_holders(file)) or "another process"
            held.close()
            doing = "read or written" if exclusive else "written"
            raise StoreError(
                f"{what} is being {doing} by {holders}",
                "wait for it to end or stop it; if many must read while one publishes, "
                "run a Qdrant server and set qdrant.url",
            ) from error
    if exclusive:
        held.truncate(0)
        held.write(f"{os.getpid()} {datetime.now(UTC).isoformat(timespec='seconds')}\n")
        held.flush()
    return held


def _open(file: Path, exclusive: bool) -> IO[str]:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("a", encoding="utf-8")
    except OSError as error:
        if exclusive or error.errno not in UNWRITABLE:
            raise
    return file.open(encoding="utf-8") if file.exists() else Path(os.devnull).open(encoding="utf-8")


def _holders(file: Path) -> list[str]:
    lines = (line.split() for line in file.read_text(encoding="utf-8").splitlines())
    since = {int(pid): moment for pid, moment in lines}
    locking = _locking(file.stat().st_ino)
    return [
        _described(pid, since.get(pid) or _started(pid))
        for pid in sorted(filter(_alive, since) if locking is None else locking)
    ]


def _started(pid: int) -> str | None:
    """Return the moment when a process began, since a reader leaves none; None where the system does not tell."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
        boot = next(int(line.split()[1]) for line in lines if line.startswith("btime"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    began = datetime.fromtimestamp(boot + ticks / os.sysconf("SC_CLK_TCK"), UTC)
    return began.isoformat(timespec="seconds")


def _described(pid: int, since: str | None) -> str:
    name = "this process" if pid == os.getpid() else f"process {pid}"
    if since is None:
        return name
    moment = datetime.fromisoformat(since)
    age = (datetime.now(UTC) - moment).total_seconds()
    return f"{name} (since {moment:%Y-%m-%d %H:%M:%S} UTC, {max(age, 0):,.0f} s ago)"


def _locking(inode: int) -> set[int] | None:
    """Return the processes that hold a lock on the file, or None where the system does not tell."""
    # A line of /proc/locks: `3: FLOCK  ADVISORY  WRITE 4711 08:01:131090 0 EOF`; those that wait have `->`.
    if not KERNEL_LOCKS.exists():
        return None
    lines = [line.split() for line in KERNEL_LOCKS.read_text(encoding="ascii").splitlines()]
    return {int(line[4]) for line in lines if line[1] == "FLOCK" and _inode(line) == inode} - {0} or None


def _inode(line: list[str]) -> int:
    return int(line[5].rsplit(":", 1)[-1])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
