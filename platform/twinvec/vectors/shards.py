"""Shards that this process has open, each under a lock between processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import qdrant_edge as edge

from twinvec.disk import HINT, bytes_of_holes, in_memory, is_full, require_room
from twinvec.errors import StoreError
from twinvec.vectors.copies import openable
from twinvec.vectors.locks import take_lock

# What is not live any more is let go at the next query this long after its last one.
IDLE_SECONDS = 1.0
# Files that Edge maps and reads whole when it opens a shard.
INDEXES = "segments/*/payload_index/**/*.dat"


@dataclass
class _Open:
    shard: edge.EdgeShard
    lock: IO[str]
    writable: bool
    users: int = 0
    used: float = field(default_factory=time.monotonic)
    closing: bool = False


class Shards:
    """Shards under `root`, opened on first use, for all threads of this process.

    A shard is closed only while no thread uses it: queries are short, so whoever closes one waits for those that
    run, and those that come meanwhile wait for it.

    Args:
        patience: Seconds to wait for processes that hold a lock, before they are named in an error.
    """

    def __init__(self, root: Path, patience: float) -> None:
        self._root = root
        self._patience = patience
        self._open: dict[str, _Open] = {}
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    @contextmanager
    def using(
        self, collection: str, doing: str, *, writable: bool = False, config: edge.EdgeConfig | None = None
    ) -> Iterator[edge.EdgeShard]:
        """Yield the shard, open for as long as the block runs and usually longer.

        Args:
            doing: Verb of what the block does, for the error if Edge refuses.
            config: Config that the shard is opened with anew, and keeps; its own if None.

        Raises:
            StoreError: If it cannot be opened, other processes hold it, or Edge refuses.
        """
        with self._lock:
            opened = self._acquire(collection, writable, config)
            opened.users += 1
        try:
            yield opened.shard
        except Exception as error:
            raise _refused(f"{doing} {collection}", error) from error
        finally:
            with self._lock:
                opened.users -= 1
                opened.used = time.monotonic()
                if opened.closing:
                    self._changed.notify_all()

    def only(self, name: str) -> bool:
        """Return True if this is the only open shard: then it exists, is no alias, and no other has to be closed."""
        return len(self._open) == 1 and name in self._open

    def lock(self, collection: str, *, exclusive: bool) -> IO[str]:
        """Take the lock that every process takes before it opens the shard."""
        file = self._root / ".locks" / collection
        return take_lock(file, f"collection {collection}", exclusive=exclusive, patience=self._patience)

    def release(self, collection: str) -> None:
        """Close the shard once no thread uses it, and give up its lock."""
        with self._lock:
            opened = self._open.get(collection)
            if opened is None:
                return
            opened.closing = True
            self._changed.wait_for(lambda: not opened.users)
            if self._open.get(collection) is not opened:  # another thread was quicker
                return
            del self._open[collection]
            self._changed.notify_all()
            with opened.lock, explained(f"close {collection}"):
                if opened.writable:
                    opened.shard.flush()
                opened.shard.close()

    def release_all(self) -> None:
        """Close every shard."""
        for collection in list(self._open):
            self.release(collection)

    def release_idle(self, live: Collection[str]) -> None:
        """Close what is read, not live, and not in use, so that other processes may write or drop it."""
        if self._open.keys() <= set(live):
            return
        before = time.monotonic() - IDLE_SECONDS
        with self._lock:
            for collection, opened in list(self._open.items()):
                if (
                    collection not in live
                    and not opened.writable
                    and not opened.users
                    and opened.used < before
                ):
                    self.release(collection)

    def _acquire(self, collection: str, writable: bool, config: edge.EdgeConfig | None) -> _Open:
        while (opened := self._open.get(collection)) is not None and opened.closing:
            self._changed.wait()
        if opened is not None and (opened.writable or not writable) and config is None:
            return opened
        self.release(collection)
        lock = self.lock(collection, exclusive=writable)
        try:
            with explained(f"open {collection}", "if it is damaged, drop it and publish it again"):
                folder = self._root / collection / "shard"
                folder = folder if writable else openable(folder)
                if in_memory(folder):
                    require_room(folder, bytes_of_holes(folder.glob(INDEXES)))
                shard = edge.EdgeShard.load(str(folder), config)
        except StoreError:
            lock.close()
            raise
        self._open[collection] = _Open(shard, lock, writable)
        return self._open[collection]


@contextmanager
def explained(action: str, hint: str = "") -> Iterator[None]:
    """Turn what Edge raises (plain Exception, and TypeError or ValueError from its bindings) into a StoreError."""
    try:
        yield
    except Exception as error:
        raise _refused(action, error, hint) from error


def _refused(action: str, error: Exception, hint: str = "") -> StoreError:
    if is_full(error):
        hint = f"{HINT}; nothing is lost"
    elif isinstance(error, OSError):
        hint = "let this user write it; nothing is lost"
    return StoreError(f"Qdrant Edge could not {action}: {error}", hint)
