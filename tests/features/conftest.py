"""A small registry with its files: one snapshot, versions of five spaces, two releases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from registry import operations
from registry.database import open_engine, transaction
from registry.models import Base, Release, Snapshot, State, Version
from registry.snapshots import record_snapshot
from twinvec import columns, files
from twinvec.features.manifest import Manifest, write_manifest
from twinvec.features.vectors import write_vectors
from twinvec.settings import Settings
from twinvec.spaces import find_space

SEED = 20261
PRODUCTS = [f"p{i}" for i in range(30)]
CATEGORIES = ["Toys", "Toys > Cars", "Books"]
MOMENT = datetime(2026, 3, 2, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Shop:
    """The values that the tests compare with."""

    settings: Settings
    snapshot: Snapshot
    versions: dict[str, Version]
    releases: dict[int, Release]
    vectors: dict[str, dict[str, npt.NDArray[np.float32]]]
    keys: dict[str, list[str]]

    def lineage(self, number: int) -> list[Version]:
        return operations.lineage(self.releases[number].version)


def make_shop(home: Path) -> Shop:
    settings = Settings(home=home)
    engine = open_engine(settings.registry_url())
    try:
        Base.metadata.create_all(engine)
        return _fill(engine, settings)
    finally:
        engine.dispose()


def _fill(engine: Engine, settings: Settings) -> Shop:
    random = np.random.default_rng(SEED)
    vectors: dict[str, dict[str, npt.NDArray[np.float32]]] = {}
    keys: dict[str, list[str]] = {}

    def make(
        session: Session, space: str, names: list[str], dimension: int, inputs: list[Version]
    ) -> Version:
        path = str(settings.home / "versions" / space / "v{number}")
        version = operations.begin_version(
            session, space, "cafe", f"{random.integers(2**40):x}", inputs, path
        )
        entity = "category" if space == "category" else "product_id"
        fields = {
            name: random.standard_normal((len(names), dimension)).astype(np.float32)
            for name in find_space(space).fields
        }
        manifest = Manifest(
            space, entity, tuple(fields), dimension, "dot" if space == "related" else "cosine", False,
            len(names), "cafe", "0123", "4567", "89ab",
            {made_from.name: made_from.digest or "" for made_from in inputs},
        )  # fmt: skip
        with files.new_folder(Path(version.path)) as folder:
            write_vectors(folder, entity, names, fields, MOMENT, rows_per_file=10_000)
            write_manifest(folder, manifest)
        version.manifest, version.digest = manifest.to_json(), manifest.digest
        version.dimension, version.rows = dimension, len(names)
        version.run_id, version.model_uri, version.state = "f00d", f"models:/{space}/1", State.READY
        vectors[version.name], keys[version.name] = fields, names
        return version

    with transaction(engine) as session:
        snapshot = record_snapshot(session, _snapshot(settings.home))
        graph = operations.begin_version(session, "graph", "cafe", "1", [], str(settings.home / "graph"))
        graph.state = State.READY
        category = make(session, "category", CATEGORIES, 3, [])
        text = make(session, "text", PRODUCTS, 6, [])
        aligned = make(session, "aligned", PRODUCTS[:-4], 5, [text])
        related = make(session, "related", PRODUCTS, 4, [graph, category, aligned])
        first = operations.begin_release(session, "related_products", related)
        text2 = make(session, "text", PRODUCTS, 6, [])
        aligned2 = make(session, "aligned", PRODUCTS, 5, [text2])
        related2 = make(session, "related", PRODUCTS[3:], 4, [graph, category, aligned2])
        second = operations.begin_release(session, "related_products", related2)
        first.state = second.state = State.READY
        operations.make_live(session, first)
        failed = operations.begin_version(session, "text", "cafe", "2", [], str(settings.home / "nothing"))
        failed.state = State.FAILED
        session.flush()
        versions = {version.name: version for version in operations.versions(session)}
        for version in versions.values():
            operations.lineage(version)  # loads what is asked for once the session is closed
    return Shop(settings, snapshot, versions, {1: first, 2: second}, vectors, keys)


def _snapshot(home: Path) -> Snapshot:
    path = home / "snapshots" / "cafe"
    path.mkdir(parents=True)
    count = len(PRODUCTS)
    rows = {
        "product_id": PRODUCTS,
        "title": [[("es", f"cosa {i}"), ("en", f"thing {i}")] if i else None for i in range(count)],
        "category": [["Toys", "Cars"]] * (count - 1) + [[]],
        "price": [float(i) if i else None for i in range(count)],
        "currency": ["EUR"] * count,
        "marketplace": ["es"] * count,
        "brand": [None] * count,
        "image": [None] * count,
    }
    pq.write_table(pa.table(rows, schema=columns.PRODUCTS), path / "products.parquet")
    return Snapshot(
        id="cafe",
        path=str(path),
        source="test",
        format="parquet",
        products=count,
        report={},
        created_at=MOMENT,
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return make_shop(tmp_path_factory.mktemp("home"))
