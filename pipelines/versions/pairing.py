"""Joint reading of two versions of one space: one join of their files in DuckDB, in the memory of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from registry.models import Version
from twinvec.catalogue.snapshot import quoted
from twinvec.errors import StateError
from twinvec.features.manifest import Manifest
from twinvec.features.vectors import FOLDER
from twinvec.settings import Settings

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
ROWS = 10_000


@dataclass(frozen=True)
class Batch:
    """Vectors of some products that both versions have.

    Attributes:
        new, old: One array a vector column, float32 [n, d]; d may differ between the versions.
        sampled: Position of each product in the sample, int64 [n]; -1 if it is not in the sample.
    """

    new: tuple[Floats, ...]
    old: tuple[Floats, ...]
    sampled: Integers


@dataclass(frozen=True)
class Counts:
    """Number of products in both versions, in the new one only, and in the old one only."""

    shared: int
    added: int
    gone: int


class SideBySide:
    """A new and an old version with the same vector columns, open for reading; one reader at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, new: Manifest, old: Manifest) -> None:
        self._connection = connection
        self.new, self.old = new, old
        columns = [
            f"{version}.{field} AS {version}_{place}"
            for version in ("new", "old")
            for place, field in enumerate(new.fields)
        ]
        self._select = (
            f"SELECT {', '.join(columns)}, coalesce(position, -1) AS sampled FROM new JOIN old USING (key)"
        )
        connection.execute("CREATE TABLE sample (key VARCHAR, position BIGINT)")

    def counts(self) -> Counts:
        """Count the products."""
        query = """
            SELECT (SELECT count(*) FROM new SEMI JOIN old USING (key)),
                   (SELECT count(*) FROM new ANTI JOIN old USING (key)),
                   (SELECT count(*) FROM old ANTI JOIN new USING (key))
        """
        return Counts(*self._connection.execute(query).fetchall()[0])

    def sample(self, size: int, seed: int) -> Batch:
        """Draw shared products, the same for the same seed, and remember them in place of an earlier sample."""
        self._connection.execute("DELETE FROM sample")
        self._connection.execute(
            f"""
            INSERT INTO sample
            SELECT key, row_number() OVER (ORDER BY hash, key) - 1 FROM (
                SELECT key, {_hash(seed)} AS hash FROM new SEMI JOIN old USING (key) ORDER BY hash, key LIMIT $size
            )
            """,
            {"size": size},
        )
        table = self._connection.sql(f"{self._select} JOIN sample USING (key) ORDER BY position")
        return self._batch(table.to_arrow_table().combine_chunks())

    def batches(self) -> Iterator[Batch]:
        """Yield all shared products, in no particular order."""
        query = f"{self._select} LEFT JOIN sample USING (key)"
        for chunk in self._connection.sql(query).to_arrow_reader(ROWS):
            yield self._batch(chunk)

    def drawn(self, version: str, size: int, seed: int) -> tuple[Floats, ...]:
        """Return vectors of some products of one version, `new` or `old`, whether or not the other has them."""
        manifest = self.new if version == "new" else self.old
        names = ", ".join(manifest.fields)
        query = f"SELECT {names} FROM {version} ORDER BY {_hash(seed)}, key LIMIT {size}"
        return _arrays(self._connection.sql(query).to_arrow_table(), manifest.fields, manifest.dimension)

    def new_vectors(self) -> Iterator[tuple[list[str], tuple[Floats, ...]]]:
        """Yield keys and vectors of all products of the new version."""
        query = f"SELECT key, {', '.join(self.new.fields)} FROM new"
        for chunk in self._connection.sql(query).to_arrow_reader(ROWS):
            yield chunk["key"].to_pylist(), _arrays(chunk, self.new.fields, self.new.dimension)

    def _batch(self, table: pa.Table | pa.RecordBatch) -> Batch:
        places = range(len(self.new.fields))
        return Batch(
            _arrays(table, [f"new_{place}" for place in places], self.new.dimension),
            _arrays(table, [f"old_{place}" for place in places], self.old.dimension),
            table["sampled"].to_numpy(),
        )


@contextmanager
def side_by_side(settings: Settings, new: Version, old: Version) -> Iterator[SideBySide]:
    """Open two versions; data beyond `ingest.memory_limit` goes to disk.

    Raises:
        StateError: If one has no vectors, or their columns or keys differ.
    """
    for version in (new, old):
        if not version.dimension:
            raise StateError(f"{version.name} has no vectors", "name versions of a space that has")
    manifests = [Manifest.from_json(version.manifest) for version in (new, old)]
    if manifests[0].fields != manifests[1].fields or manifests[0].entity != manifests[1].entity:
        raise StateError(
            f"{new.name} and {old.name} are not of the same space", "name two versions of one space"
        )
    with duckdb.connect(config={"temp_directory": str(settings.paths.spill)}) as connection:
        connection.execute("SET memory_limit = $limit", {"limit": settings.ingest.memory_limit})
        for name, version, manifest in zip(("new", "old"), (new, old), manifests, strict=True):
            files = quoted(Path(version.path) / FOLDER / "*.parquet")
            connection.execute(
                f"CREATE VIEW {name} AS SELECT {manifest.entity} AS key, * FROM read_parquet({files})"
            )
        yield SideBySide(connection, *manifests)


def _hash(seed: int) -> str:
    # A hash of the key alone does not depend on the order of the files or the version of DuckDB.
    return f"md5(key || ' {seed}')"


def _arrays(table: pa.Table | pa.RecordBatch, columns: Sequence[str], dimension: int) -> tuple[Floats, ...]:
    return tuple(_array(table[name], dimension) for name in columns)


def _array(column: pa.Array | pa.ChunkedArray, dimension: int) -> Floats:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values: Floats = whole.flatten().to_numpy()
    return values.reshape(-1, dimension)
