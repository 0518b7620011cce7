"""Comparison of two releases: the products they hold, and the ten best answers to the same queries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from registry.models import Release, Version
from twinvec.catalogue.snapshot import open_snapshot, quoted
from twinvec.features.manifest import Manifest
from twinvec.features.vectors import FOLDER
from twinvec.releases.lookup import space_of
from twinvec.vectors.lists import open_lists
from twinvec.vectors.points import FloatArray
from twinvec.workspace import Workspace

K = 10
Ids = npt.NDArray[np.str_]


def covered(workspace: Workspace, version: Version) -> float:
    """Return the share of the products of a version's snapshot that have all their vectors, none of them zero."""
    products = quoted(open_snapshot(Path(version.snapshot.path)).table("products"))
    complete = " AND ".join(f"list_dot_product({name}, {name}) > 0" for name in _columns(version))
    with _opened(workspace, version=version) as connection:
        query = f"""
            SELECT count(*) FILTER ({complete}), count(*)
            FROM read_parquet({products}) LEFT JOIN version USING (product_id)
        """
        return _share(connection, query)


def gone(workspace: Workspace, new: Version, live: Version) -> float:
    """Return the share of the keys (products or sellers) of the live version that the new one does not have."""
    with _opened(workspace, new=new, live=live) as connection:
        missing = f"FROM live ANTI JOIN new USING ({_key(new)})"
        return _share(connection, f"SELECT (SELECT count(*) {missing}), (SELECT count(*) FROM live)")


def changed_top_10(workspace: Workspace, new: Release, live: Release) -> float:
    """Return the mean share of the ten best answers that the other release does not give, 0 to 1; see `changes`.

    It is 0 if the two have no product in common.
    """
    shares = changes(workspace, new, live)[1]
    return float(np.mean(shares)) if len(shares) else 0.0


def changes(workspace: Workspace, new: Release, live: Release) -> tuple[Ids, npt.NDArray[np.float64]]:
    """Return keys that both releases have, [keys], and the share of each one's ten best that the other does not give.

    Both answer as they serve, from their lists or through their indexes. The keys are `gates.sample` products, or
    sellers if these ask, drawn by the hash of id and seed.
    """
    serving = space_of(workspace, new).serving
    assert serving is not None
    assert serving.asks is not None
    keys, sources = _sample(workspace, new.version, live.version, serving.asks.name)
    if not len(keys):
        return keys, np.zeros(0)
    lists = [
        _answers(workspace, release, keys, source)
        for release, source in zip((new, live), sources, strict=True)
    ]
    same = (lists[0][:, :, None] == lists[1][:, None, :]) & (lists[0] != "")[:, :, None]
    most = np.maximum(*((ids != "").sum(axis=1) for ids in lists))
    return keys, 1 - same.any(axis=2).sum(axis=1) / np.maximum(most, 1)


def _answers(workspace: Workspace, release: Release, keys: Ids, source: FloatArray) -> Ids:
    """Return the ids of the ten best targets for each key but itself, [keys, 10]; empty where there are fewer."""
    if release.lists is not None:
        return open_lists(Path(release.lists.path)).best(keys.tolist(), K)
    index, collection = workspace.index, release.collection
    hits = index.search(collection, source, K + 1, ef=index.search_ef(collection))
    ids = np.array([[hit.key for hit in row] + [""] * (K + 1 - len(row)) for row in hits])
    # The product itself goes to the end, and what is beyond ten is dropped.
    order = np.argsort(ids == keys[:, None], axis=1, kind="stable")[:, :K]
    kept: Ids = np.take_along_axis(ids, order, axis=1)
    return np.where(kept == keys[:, None], "", kept)


def _sample(
    workspace: Workspace, new: Version, live: Version, field: str
) -> tuple[Ids, tuple[FloatArray, FloatArray]]:
    """Return keys that both versions have, and the query vectors of each version, float32 [sample, d]."""
    key = _key(new)
    query = f"""
        WITH drawn AS (
            SELECT {key} FROM new SEMI JOIN live USING ({key})
            ORDER BY md5({key} || $seed), {key} LIMIT $size
        )
        SELECT {key} AS key, new.{field} AS new, live.{field} AS live
        FROM drawn JOIN new USING ({key}) JOIN live USING ({key})
    """
    settings = workspace.settings
    parameters = {"seed": f" {settings.seed}", "size": settings.gates.sample}
    with _opened(workspace, new=new, live=live) as connection:
        table: pa.Table = connection.sql(query, params=parameters).to_arrow_table()
    return np.array(table["key"].to_pylist(), np.str_), (_rows(table, "new"), _rows(table, "live"))


@contextmanager
def _opened(workspace: Workspace, **versions: Version) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with a view of the vectors of each version; DuckDB spills beyond `ingest.memory_limit`."""
    settings = workspace.settings
    with duckdb.connect(config={"temp_directory": str(settings.paths.spill)}) as connection:
        connection.execute("SET memory_limit = $limit", {"limit": settings.ingest.memory_limit})
        for name, version in versions.items():
            files = quoted(Path(version.path) / FOLDER / "*.parquet")
            connection.execute(f"CREATE VIEW {name} AS FROM read_parquet({files})")
        yield connection


def _key(version: Version) -> str:
    return Manifest.from_json(version.manifest).entity


def _columns(version: Version) -> tuple[str, ...]:
    return Manifest.from_json(version.manifest).fields


def _rows(table: pa.Table, name: str) -> FloatArray:
    vectors: FloatArray = table[name].combine_chunks().flatten().to_numpy()
    return vectors.reshape(table.num_rows, -1)


def _share(connection: duckdb.DuckDBPyConnection, query: str) -> float:
    part, whole = connection.execute(query).fetchall()[0]
    return float(part / whole) if whole else 0.0
