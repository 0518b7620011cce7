"""Workspace: the stores of one home, opened when they are first used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from registry import operations
from registry.database import migrate, open_engine, transaction
from registry.models import Snapshot as SnapshotRow
from registry.models import State, Version
from registry.snapshots import latest_snapshot
from twinvec.catalogue.snapshot import Snapshot, open_snapshot
from twinvec.errors import NotFoundError, StateError
from twinvec.settings import Settings

if TYPE_CHECKING:  # Feast and Qdrant take seconds to import, and not every command needs them
    from feast import FeatureStore

    from twinvec.vectors.index import VectorIndex


@dataclass(frozen=True)
class Workspace:
    """The settings and the stores that they name."""

    settings: Settings

    @cached_property
    def engine(self) -> Engine:
        """The registry's database, migrated to the current tables."""
        engine = open_engine(self.settings.registry_url(), self.settings.home)
        migrate(engine)
        return engine

    @cached_property
    def features(self) -> FeatureStore:
        """The feature store."""
        from twinvec.features.store import open_store

        return open_store(self.settings)

    @cached_property
    def index(self) -> VectorIndex:
        """The vector index."""
        from twinvec.vectors import open_index

        return open_index(self.settings)

    def close(self) -> None:
        """Close the index and the database if they were opened; a later use opens them again."""
        opened = self.__dict__
        if "index" in opened:
            opened.pop("index").close()
        if "engine" in opened:
            opened.pop("engine").dispose()
        opened.pop("features", None)

    def snapshot_row(self, snapshot_id: str | None = None) -> SnapshotRow:
        """Return the registry's row of a snapshot; the latest if none is named.

        Raises:
            NotFoundError: If there is none.
        """
        with transaction(self.engine) as session:
            row = session.get(SnapshotRow, snapshot_id) if snapshot_id else latest_snapshot(session)
        if row is None:
            raise NotFoundError(
                f"there is no snapshot {snapshot_id}" if snapshot_id else "there is no snapshot yet",
                "`twinvec ingest SOURCE --format …` makes one; `twinvec status` lists those there are",
            )
        return row

    def snapshot(self, snapshot_id: str | None = None) -> Snapshot:
        """Return a snapshot, opened; the latest if none is named."""
        return open_snapshot(Path(self.snapshot_row(snapshot_id).path))

    def version(self, name: str) -> Version:
        """Return the version called `text@v3`, or the latest usable one of the space `text`.

        Raises:
            NotFoundError: If there is none.
            StateError: If the named version is not ready to be read.
        """
        with transaction(self.engine) as session:
            version = operations.find_version(session, name)
        if version is None:
            made = "" if "@" in name else f"`twinvec train {name}` makes one; "
            raise NotFoundError(
                f"there is no version {name}", f"{made}`twinvec status` lists those there are"
            )
        if version.state != State.READY:
            raise StateError(
                f"{name} is {version.state}" + (f": {version.error}" if version.error else ""),
                "name one that is ready; `twinvec status` lists them",
            )
        return version
