"""Smoke test: a few queries whose answers are kept with a release; the same version must answer them the same."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import duckdb
import numpy as np

from registry.models import Release, Version
from twinvec.catalogue.snapshot import Snapshot, open_snapshot, quoted
from twinvec.features.manifest import Manifest
from twinvec.features.vectors import FOLDER
from twinvec.spaces import PRODUCTS, Space
from twinvec.vectors.points import FloatArray, point_ids
from twinvec.workspace import Workspace

QUERIES, DEPTH = 20, 10
# Key of the query → product ids and scores, best first, as JSON keeps them.
Answers: TypeAlias = dict[str, list[list[str | float]]]

# Products that were bought or viewed together most often come first.
BY_POPULARITY = """
    WITH pairs AS (FROM copurchase UNION ALL FROM coview),
    ends AS (
        SELECT source AS product_id, count FROM pairs UNION ALL SELECT target, count FROM pairs
    ),
    popularity AS (SELECT product_id, sum(count) AS count FROM ends GROUP BY ALL)
    SELECT product_id, marketplace FROM (
        SELECT product_id, marketplace,
               row_number() OVER (ORDER BY coalesce(count, 0) DESC, product_id, marketplace) - 1 AS rank
        FROM products LEFT JOIN popularity USING (product_id) {having}
    )
    WHERE rank IN (SELECT unnest($ranks))
    ORDER BY rank
"""


def ask(workspace: Workspace, space: Space, release: Release) -> Answers:
    """Return the answers of an exact search, since two HNSW graphs of the same vectors may answer differently.

    The queries are 20 products, from the most to the least popular in even steps of rank. If other entities ask, such
    as sellers or listings, they are taken in even steps of their ids.
    """
    assert space.serving is not None
    assert space.serving.fields is not None
    asks, searched = space.serving.fields
    if asks.space == searched.space and space.entity is PRODUCTS:
        keys, vectors = _products(workspace, release, space.serving.every_product)
    else:
        keys, vectors = _others(workspace, release.version, asks.name)
    if not keys:
        return {}
    lists = workspace.index.search(release.collection, vectors, DEPTH, exact=True)
    return {
        key: [[hit.key, round(hit.score, 6)] for hit in hits] for key, hits in zip(keys, lists, strict=True)
    }


def spread_by_popularity(
    snapshot: Snapshot, memory_limit: str, vectors: Path | None = None
) -> list[tuple[str, str]]:
    """Return id and marketplace of twenty products, from the most popular to the least in even steps of rank.

    Args:
        snapshot: Products and their pairs.
        memory_limit: DuckDB's memory limit.
        vectors: Folder of a version; if given, products without vectors are left out.
    """
    files = quoted(vectors / FOLDER / "*.parquet") if vectors is not None else ""
    having = f"SEMI JOIN read_parquet({files}) vectors USING (product_id)" if files else ""
    with snapshot.connect(memory_limit) as connection:
        total = connection.execute(f"SELECT count(*) FROM products {having}").fetchall()[0][0]
        ranks = np.linspace(0, total - 1, QUERIES).astype(int).tolist()
        rows: list[tuple[str, str]] = connection.execute(
            BY_POPULARITY.format(having=having), {"ranks": ranks}
        ).fetchall()
    return rows


def _products(workspace: Workspace, release: Release, every_product: bool) -> tuple[list[str], FloatArray]:
    version = release.version
    snapshot = open_snapshot(Path(version.snapshot.path))
    vectors = None if every_product else Path(version.path)
    products = spread_by_popularity(snapshot, workspace.settings.ingest.memory_limit, vectors)
    if not products:
        return [], np.zeros((0, version.dimension or 0), np.float32)
    keys, markets = zip(*products, strict=True)
    source, _ = workspace.index.vectors(release.collection, point_ids(markets, keys))
    return list(keys), source


def _others(workspace: Workspace, version: Version, field: str) -> tuple[list[str], FloatArray]:
    files = quoted(Path(version.path) / FOLDER / "*.parquet")
    key = Manifest.from_json(version.manifest).entity
    ranks = np.linspace(0, (version.rows or 0) - 1, QUERIES).astype(int).tolist()
    query = f"""
        SELECT {key}, {field} FROM (
            SELECT {key}, {field}, row_number() OVER (ORDER BY {key}) - 1 AS rank FROM read_parquet({files})
        ) WHERE rank IN (SELECT unnest($ranks)) ORDER BY rank
    """
    with duckdb.connect() as connection:
        connection.execute("SET memory_limit = $limit", {"limit": workspace.settings.ingest.memory_limit})
        rows = connection.execute(query, {"ranks": ranks}).fetchall()
    return [key for key, _ in rows], np.array([vector for _, vector in rows], np.float32)


def changed(saved: Answers, now: Answers) -> list[str]:
    """Return the keys of both whose answers differ by more than the order of equal scores."""
    return [product for product in saved if product in now and not _same(saved[product], now[product])]


def _same(saved: list[list[str | float]], now: list[list[str | float]]) -> bool:
    if len(saved) != len(now):
        return False
    before, after = (np.array([score for _, score in hits], np.float64) for hits in (saved, now))
    close = 1e-4 * max(1.0, float(np.abs(before).max(initial=0)))
    # Which of several products with the score of the last one are cut off is arbitrary.
    clear = [{id_ for id_, score in hits if float(score) > before[-1] + close} for hits in (saved, now)]
    return bool((np.abs(before - after) <= close).all()) and clear[0] == clear[1]
