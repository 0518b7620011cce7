"""A cache of JSON files that change only by a rename: a file is parsed again when it was replaced."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from twinvec.errors import StoreError

Signature = tuple[int, int, int]
# Two files of one moment may have the same time, and the third in a row the inode of the first.
SETTLED_NS = 100_000_000


class JsonFiles:
    """Contents of small JSON files under `root`, as they are on disk at each call.

    A file that replaces another by a rename has another inode or another time. Comparing these is enough, and takes
    microseconds for each file of a query, where parsing takes as long as a search.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._cached: dict[tuple[str, ...], tuple[Signature, dict[str, Any]]] = {}
        self._paths: dict[tuple[str, ...], str] = {}

    def read(self, *names: str) -> dict[str, Any] | None:
        """Return the object in the file `root`/names, a copy of it, or None if there is no such file.

        Raises:
            StoreError: If the file holds no JSON object.
        """
        path = self._paths.get(names) or self._paths.setdefault(names, str(self._root.joinpath(*names)))
        try:
            signature = _signature(os.stat(path))  # noqa: PTH116 - a path takes as long again
            cached = self._cached.get(names)
            if cached is not None and cached[0] == signature:
                return dict(cached[1])
            file = Path(path)
            with file.open(encoding="utf-8") as opened:
                # Of the file that is read, which may not be the one that had the name a moment ago.
                signature = _signature(os.fstat(opened.fileno()))
                values: dict[str, Any] = _parsed(file, opened.read())
        except FileNotFoundError:
            self._cached.pop(names, None)
            return None
        if time.time_ns() - signature[1] > SETTLED_NS:
            self._cached[names] = (signature, values)
        return dict(values)


def _parsed(file: Path, text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
        if isinstance(values, dict):
            return values
        problem = "it holds no object"
    except ValueError as error:
        problem = str(error)
    raise StoreError(
        f"{file} is damaged: {problem}",
        "bring it back from a backup; `twinvec doctor` says what else there is",
    )


def _signature(status: os.stat_result) -> Signature:
    return status.st_ino, status.st_mtime_ns, status.st_size
