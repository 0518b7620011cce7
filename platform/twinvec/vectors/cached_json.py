"""JSON files that are only ever replaced by a rename, parsed again only when they were."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

Signature = tuple[int, int, int]
# Two files of one moment may have the same time, and the third in a row the inode of the first.
SETTLED_NS = 100_000_000


class JsonFiles:
    """What small JSON files under `root` hold, as it is on disk at the moment of each call.

    A file that takes the place of another by rename has another inode or another time, so that looking at these is
    enough: a query then costs microseconds for each file it depends on, where parsing them costs as much as a search.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[tuple[str, ...], tuple[Path, Signature, dict[str, Any]]] = {}

    def read(self, *names: str) -> dict[str, Any] | None:
        """The object in the file `root`/names, a copy of it, or None if there is no such file."""
        known = self._known.get(names)
        try:
            if known is not None and known[1] == _signature(known[0].stat()):
                return dict(known[2])
            file = self._root.joinpath(*names)
            with file.open(encoding="utf-8") as opened:
                # Of the file that is read, which may not be the one that had the name a moment ago.
                signature = _signature(os.fstat(opened.fileno()))
                values: dict[str, Any] = json.load(opened)
        except FileNotFoundError:
            self._known.pop(names, None)
            return None
        if time.time_ns() - signature[1] > SETTLED_NS:
            self._known[names] = (file, signature, values)
        return dict(values)


def _signature(status: os.stat_result) -> Signature:
    return status.st_ino, status.st_mtime_ns, status.st_size
