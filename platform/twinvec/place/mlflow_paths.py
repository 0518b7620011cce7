"""Absolute paths in MLflow's SQLite database: where the artifacts of experiments, runs and models lie.

A relative path there would be read from the folder of whoever asks.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

from twinvec.paths import HomePaths

EXPERIMENT = "twinvec/"
URIS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)


def rebase(paths: HomePaths, write: bool) -> int:
    """Let experiments, runs, models and data sets name folders of the home; return the number that named others.

    The other homes are those in which experiments of Twinvec have their artifacts. What lies anywhere else stays.

    Args:
        paths: Paths of the home.
        write: False to count only.
    """
    if not paths.mlflow.is_file():
        return 0
    mode = "rw" if write else "ro"
    with closing(sqlite3.connect(f"{paths.mlflow.as_uri()}?mode={mode}", uri=True, timeout=30)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "experiments" not in tables:
            return 0
        changed = 0
        for former in _former(database, paths.home):
            for table, column in URIS:
                changed += (
                    _replace(database, table, column, former, paths.home, write) if table in tables else 0
                )
            if "datasets" in tables:
                changed += _datasets(database, _local(former), paths, write)
        database.commit()
        return changed


def _former(database: sqlite3.Connection, home: Path) -> Iterable[str]:
    """Return the URIs of other homes in which experiments of Twinvec have their artifacts."""
    former = set()
    for name, location in database.execute("SELECT name, artifact_location FROM experiments"):
        below = f"/mlartifacts/{name.removeprefix(EXPERIMENT)}"
        if name.startswith(EXPERIMENT) and location and location.endswith(below):
            former.add(location.removesuffix(below))
    return sorted(each for each in former if each.startswith("file:") and _local(each) != home)


def _local(uri: str) -> Path:
    return Path(unquote(urlparse(uri).path))


def _replace(
    database: sqlite3.Connection, table: str, column: str, former: str, home: Path, write: bool
) -> int:
    old = f"{former}/mlartifacts/"
    where = f"substr({column}, 1, {len(old)}) = ?"
    if not write:
        [(count,)] = database.execute(f"SELECT count(*) FROM {table} WHERE {where}", (old,)).fetchall()
        return int(count)
    new = f"{home.as_uri()}/mlartifacts/"
    change = f"UPDATE {table} SET {column} = ? || substr({column}, {len(old) + 1}) WHERE {where}"
    return database.execute(change, (new, old)).rowcount


def _datasets(database: sqlite3.Connection, former: Path, paths: HomePaths, write: bool) -> int:
    """Re-base the snapshots and versions that runs name as their inputs."""
    changed = 0
    rows = database.execute("SELECT dataset_uuid, dataset_source FROM datasets").fetchall()
    for key, source in rows:
        try:
            values = json.loads(source)
            place = Path(values["uri"])
        except (ValueError, KeyError, TypeError):
            continue  # of somebody else's
        if place.is_relative_to(former) and not place.is_relative_to(paths.home):
            changed += 1
            if write:
                moved = json.dumps(values | {"uri": str(paths.below(place.relative_to(former)))})
                database.execute(
                    "UPDATE datasets SET dataset_source = ? WHERE dataset_uuid = ?", (moved, key)
                )
    return changed
