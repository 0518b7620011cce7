"""History of product scalars: what title, category, price and others were at a time.

A Parquet file for each time that a snapshot is of, in one folder, under one feature view. A product that the snapshot
before had and this one has not gets a row of nulls, so that a point-in-time join does not go on with old values.
Vectors have no history: those of two versions cannot be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from sqlalchemy import Engine

from registry.database import transaction
from registry.models import Snapshot
from registry.snapshots import all_snapshots, snapshot_times
from twinvec import files
from twinvec.columns import EVENT_TIMESTAMP
from twinvec.features.scalars import SCALARS, SELECT, micros, write_query
from twinvec.settings import Settings

# Every product has a marketplace; the row of one that is gone has nulls.
PRESENT = "marketplace IS NOT NULL"
NULLS = ", ".join(f"NULL AS {name}" for name in SCALARS)
GONE = f"""
    UNION ALL
    SELECT product_id, {NULLS}, make_timestamptz($moment) AS {EVENT_TIMESTAMP}
    FROM (FROM read_parquet($before) WHERE {PRESENT}) ANTI JOIN read_parquet($products) USING (product_id)
"""
# Of an older part, where the snapshot itself was pruned.
AGAIN = (
    f"SELECT product_id, {', '.join(SCALARS)}, {EVENT_TIMESTAMP} FROM read_parquet($products) WHERE {PRESENT}"
)


@dataclass(frozen=True)
class Part:
    """One time of the history.

    Attributes:
        as_of: Time from which the catalogue was so.
        snapshot: Snapshot that it was like.
        products: `products.parquet` of the snapshot; None if the snapshot was pruned.
        before: Id of the snapshot before it, whose products may be gone.
    """

    as_of: datetime
    snapshot: str
    products: Path | None
    before: str | None

    @property
    def stem(self) -> str:
        """Beginning of the file's name."""
        return f"{self.as_of:%Y%m%dT%H%M%S.%f}-{self.snapshot}"

    @property
    def name(self) -> str:
        """Name of the file; another before it makes another file."""
        return f"{self.stem}-{self.before or 'first'}.parquet"


def history_parts(engine: Engine, settings: Settings) -> list[Part]:
    """Return the parts that the history should have, oldest first."""
    folder = settings.paths.products_history
    with transaction(engine) as session:
        times = snapshot_times(session)
        snapshots = {each.id: each for each in all_snapshots(session)}
    parts = [
        Part(each.as_of, each.snapshot_id, _products(snapshots[each.snapshot_id]), None) for each in times
    ]
    # Of a snapshot that was pruned before it had a part, nothing is known any more.
    kept = [part for part in parts if part.products is not None or _written(folder, part)]
    chained = [Part(part.as_of, part.snapshot, part.products, old.snapshot) for old, part in pairwise(kept)]
    return [*kept[:1], *chained]


def is_written(engine: Engine, settings: Settings) -> bool:
    """Return True if the files of the history are those that it should have."""
    return set(_names(settings.paths.products_history)) == {
        part.name for part in history_parts(engine, settings)
    }


def write_history(engine: Engine, settings: Settings) -> bool:
    """Bring the files of the history up to date; return True if any was written or removed.

    Readers may read meanwhile: a new file appears whole, and one that it replaces goes after it.
    """
    folder = settings.paths.products_history
    folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder.with_name(f".{folder.name}.lock")):
        parts = history_parts(engine, settings)
        before: Path | None = None
        changed = False
        for part in parts:
            target = folder / part.name
            if not target.is_file():
                _write(part, target, before, settings.ingest.memory_limit)
                changed = True
            before = target
        wanted = {part.name for part in parts}
        for name in set(_names(folder)) - wanted:
            (folder / name).unlink()
            changed = True
        return changed


def _write(part: Part, target: Path, before: Path | None, memory_limit: str) -> None:
    source, query = part.products, SELECT
    if source is None:
        source, query = _written(target.parent, part)[0], AGAIN
    parameters: dict[str, object] = {"products": str(source)}
    if query is SELECT or before is not None:
        parameters["moment"] = micros(part.as_of)
    if before is not None:
        query, parameters["before"] = query + GONE, str(before)
    with files.new_file(target) as staging:
        write_query(query, parameters, staging, memory_limit)


def _products(snapshot: Snapshot) -> Path | None:
    file = Path(snapshot.path) / "products.parquet"
    return file if file.is_file() else None


def _written(folder: Path, part: Part) -> Sequence[Path]:
    return sorted(folder.glob(f"{part.stem}-*.parquet"))


def _names(folder: Path) -> Iterator[str]:
    return (file.name for file in folder.glob("*.parquet"))
