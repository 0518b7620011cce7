"""Absolute paths in Feast's SQLite registry: the folders of the views' files.

Feast reads a relative path from the caller's folder, so they have to be absolute. They are changed in the rows
themselves: applying the views again would make a new version of each in Feast's own history.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from twinvec.paths import HomePaths

# Files of a version, of a snapshot's scalars, or of their history, below a home.
BELOW = re.compile(r"/(versions/(?:[a-z_]+/v[0-9]+/vectors|products(?:/[0-9a-f]{16})?|products_history))$")


def rebase(paths: HomePaths, write: bool) -> int:
    """Let the views name files below the home; return the number of paths that named others.

    Args:
        paths: Paths of the home.
        write: False to count only.
    """
    changed = _configurations(paths, write)
    if not paths.feast_registry.is_file():
        return changed
    mode = "rw" if write else "ro"
    with closing(
        sqlite3.connect(f"{paths.feast_registry.as_uri()}?mode={mode}", uri=True, timeout=30)
    ) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table, column, kind in _columns():
            if table not in tables:
                continue
            for row, content in database.execute(f"SELECT rowid, {column} FROM {table}").fetchall():
                message = kind.FromString(content)
                moved = _rebase_message(message, paths)
                changed += moved
                if moved and write:
                    database.execute(
                        f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (message.SerializeToString(), row)
                    )
        database.commit()
    return changed


def _configurations(paths: HomePaths, write: bool) -> int:
    """Count the configurations of another home, which are written anew when the store is opened."""
    stale = 0
    for file in (paths.feature_store, paths.feature_store_asof):
        if file.is_file() and f"path: {paths.home}/feast/online.db\n" not in file.read_text("utf-8"):
            stale += 1
            if write:  # none is better than one that writes into another home
                file.unlink()
    return stale


def _columns() -> list[tuple[str, str, Any]]:
    from feast.protos.feast.core.DataSource_pb2 import DataSource
    from feast.protos.feast.core.FeatureService_pb2 import FeatureService
    from feast.protos.feast.core.FeatureView_pb2 import FeatureView

    return [
        ("data_sources", "data_source_proto", DataSource),
        ("feature_views", "feature_view_proto", FeatureView),
        ("feature_view_version_history", "feature_view_proto", FeatureView),
        ("feature_services", "feature_service_proto", FeatureService),
    ]


def _rebase_message(message: Any, paths: HomePaths) -> int:
    changed = 0
    for options in _file_options(message):
        below = BELOW.search(options.uri)
        if below is not None and options.uri != str(paths.below(below[1])):
            options.uri = str(paths.below(below[1]))
            changed += 1
    return changed


def _file_options(message: Any) -> Iterator[Any]:
    """Yield the options of every file source in a message of protobuf, however deep."""
    if message.DESCRIPTOR.full_name == "feast.core.DataSource.FileOptions":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for each in value if field.is_repeated else [value]:
            yield from _file_options(each)
