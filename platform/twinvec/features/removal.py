"""Removal of feature views and of their rows in the online store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
from feast import FeatureStore, FeatureView
from feast.errors import FeastObjectNotFoundException
from feast.infra.provider import get_provider

from twinvec.errors import StoreError

SQLITE = """
    SELECT coalesce(sum(pgsize), 0) FROM dbstat
    WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name = ?)
"""
POSTGRES = "SELECT coalesce(pg_total_relation_size(to_regclass(%s)), 0)"


def remove_view(store: FeatureStore, view: FeatureView) -> None:
    """Delete a view: first its online rows, then its source, last its name. Repeating it changes nothing.

    Raises:
        StoreError: If the online store refuses.
    """
    try:
        get_provider(store.config).update_infra(
            project=store.project,
            tables_to_delete=[view],
            tables_to_keep=[],
            entities_to_delete=[],
            entities_to_keep=[],
            partial=True,
        )
    except (sqlite3.Error, psycopg.Error) as error:
        raise StoreError(
            f"the rows of {view.name} cannot be deleted from the online store: {error}",
            "see that it answers, and run this again",
        ) from error
    # Looked up: one that was killed here, or another process, may have been quicker.
    if view.name in {source.name for source in store.list_data_sources()}:
        store.registry.delete_data_source(view.name, store.project)
    try:
        store.delete_feature_view(view.name)
    except FeastObjectNotFoundException:
        return


def online_size(store: FeatureStore, view: FeatureView) -> int | None:
    """Return the bytes that a view's rows take in the online store; None for a kind of store that cannot tell.

    SQLite does not return them to the disk, but uses them again.
    """
    online, table = store.config.online_store, f"{store.project}_{view.name}"
    if online.type == "sqlite":
        if not Path(online.path).is_file():
            return 0
        with closing(sqlite3.connect(f"file:{online.path}?mode=ro", uri=True)) as database:
            return int(database.execute(SQLITE, (table,)).fetchone()[0])
    if online.type != "postgres":
        return None
    with psycopg.connect(
        host=online.host,
        port=online.port,
        dbname=online.database,
        user=online.user,
        password=online.password,
        sslmode=online.sslmode,
    ) as connection:
        row = connection.execute(POSTGRES, (f'"{table}"',)).fetchone()
        return int(row[0]) if row else 0
