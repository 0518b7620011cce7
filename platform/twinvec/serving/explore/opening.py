"""Releases as the page looks at them: their snapshot, and the map of their version if there is one."""

from __future__ import annotations

import bisect
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from registry.models import WHOLE, Release
from twinvec import releases
from twinvec.catalogue.snapshot import Snapshot, open_snapshot
from twinvec.errors import NotFoundError, StateError
from twinvec.serving.related import UnknownNameError
from twinvec.vectors.maps import FILE, open_map
from twinvec.workspace import Workspace

# Releases that are open at once.
OPENED = 4
# Seconds for which a release is what the registry said it was: the requests of one click.
SEEN = 1.0


class NoMapError(NotFoundError):
    """Nobody has drawn the map of this version yet."""


@dataclass(frozen=True)
class Explored:
    """One release that is looked at.

    Attributes:
        release: Row of the registry.
        snapshot: Snapshot of its version.
        drawn: Map of its version, sorted by product; None if there is none.
        token: Text that is another when the map is.
    """

    release: Release
    snapshot: Snapshot
    drawn: pa.Table | None
    token: str
    _connection: duckdb.DuckDBPyConnection = field(repr=False, compare=False)
    _ids: pa.StringArray | None = field(repr=False, compare=False)

    @property
    def places(self) -> pa.Table:
        """The map.

        Raises:
            NoMapError: If there is none.
        """
        if self.drawn is None:
            name = self.release.version.name
            raise NoMapError(
                f"{name} has no map yet", f"`twinvec plot {name}` makes it, then load the page again"
            )
        return self.drawn

    def query(self, sql: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of a query over the tables of the snapshot; may be called by several threads."""
        with self._connection.cursor() as cursor:
            rows: list[dict[str, Any]] = cursor.sql(sql, params=parameters).to_arrow_table().to_pylist()
        return rows

    def rows(self, product_ids: Sequence[str]) -> list[int | None]:
        """Return the row of each product on the map, None where it is not there."""
        return [self._row(product_id) for product_id in product_ids]

    def _row(self, product_id: str) -> int | None:
        ids = self._ids
        if ids is None:
            return None
        place = bisect.bisect_left(range(len(ids)), product_id, key=lambda row: ids[row].as_py())
        return place if place < len(ids) and ids[place].as_py() == product_id else None


class Explorer:
    """Opens releases, and keeps the last ones open. May be used by several threads.

    Args:
        workspace: Stores.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._opened: OrderedDict[tuple[str, str], Future[Explored]] = OrderedDict()
        self._mutex = threading.Lock()
        self._seen: dict[str | None, tuple[float, Release]] = {}

    def find(self, label: str | None) -> Release:
        """Return a release that can answer, as it was at most a second ago; the live one if none is named.

        Raises:
            UnknownNameError: If there is none of this name.
            StateError: If none is named and none is live.
        """
        at, release = self._seen.get(label, (float("-inf"), None))
        if release is None or time.monotonic() - at > SEEN:
            release = self._find(label)
            if len(self._seen) > OPENED:
                self._seen.clear()
            self._seen[label] = (time.monotonic(), release)
        return release

    def _find(self, label: str | None) -> Release:
        if label is None:
            release = releases.live(self.workspace)
            if release is None:
                raise StateError("no release is live", "`twinvec run` makes one; `twinvec demo` shows how")
            return release
        try:
            release = releases.find(self.workspace, label)
        except NotFoundError as error:
            raise UnknownNameError(error.message, error.hint) from error
        if release.name != self.workspace.settings.release or release.state not in WHOLE:
            raise UnknownNameError(f"{release.label} is {release.state}", "name one that can answer")
        return release

    def open(self, label: str | None) -> Explored:
        """Return a release, opened; the live one if none is named."""
        release = self.find(label)
        folder = Path(release.version.path)
        token = ""
        with suppress(OSError):
            token = f"{(folder / FILE).stat().st_mtime_ns:x}"
        key = release.collection, token
        with self._mutex:
            opening = self._opened.get(key)
            first = opening is None
            if opening is None:
                opening = self._opened[key] = Future()
                while len(self._opened) > OPENED:
                    self._opened.popitem(last=False)
            self._opened.move_to_end(key)
        # Outside of the lock, so that a slow opening holds up those alone who ask for the same release.
        if first:
            try:
                opening.set_result(self._open(release, folder, token))
            except BaseException as error:
                with self._mutex:
                    self._opened.pop(key, None)
                opening.set_exception(error)
        return opening.result()

    def _open(self, release: Release, folder: Path, token: str) -> Explored:
        snapshot = open_snapshot(Path(release.version.snapshot.path))
        drawn = open_map(folder, release.version.name) if token else None
        ids = drawn["product_id"].combine_chunks() if drawn is not None else None
        if isinstance(ids, pa.ChunkedArray):  # of an empty table
            ids = pa.array([], pa.string())
        return Explored(
            release,
            snapshot,
            drawn,
            token,
            snapshot.connect(self.workspace.settings.ingest.memory_limit),
            ids,
        )
