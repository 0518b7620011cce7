"""Ingestion: read a source, check its rows, mine pairs, write the snapshot, name it by its contents, record it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
from sqlalchemy import Engine

from registry import models, operations
from registry.database import transaction
from twinvec.catalogue import contents, judgements, listings
from twinvec.catalogue.loaders import Loader, find_loader
from twinvec.catalogue.loaders.staging import LoaderContext
from twinvec.catalogue.mining import mine_pairs
from twinvec.catalogue.quarantine import Admission, admit, prepare
from twinvec.catalogue.snapshot import Snapshot, open_snapshot, write_record
from twinvec.catalogue.writing import SELECTED, write_mined, write_pairs, write_quarantine, write_rows
from twinvec.errors import CatalogueError, NotFoundError, TwinvecError
from twinvec.settings import IngestSettings, Settings

# Pairs of either kind, the events they can be mined from, and the column that says what belongs together.
MINED = {"copurchase": ("orders", "order_id"), "coview": ("views", "session_id")}


@dataclass(frozen=True)
class IngestReport:
    """Result of an ingest.

    Attributes:
        rows: Table → rows read from the source.
        quarantined: Table → reason → rows that did not enter. Pairs and events of unknown products, pairs of
            a product with itself, baskets too large to make pairs, and judgements that others of the same pair
            contradict are counted here, but not among the rows that break the contract.
        new: False if this snapshot was there before.
    """

    snapshot: Snapshot
    format: str
    source: str
    rows: dict[str, int]
    quarantined: dict[str, dict[str, int]]
    new: bool


def ingest(
    source: Path,
    format: str,  # noqa: A002 - the word the command and the registry use
    settings: Settings,
    engine: Engine,
    progress: Callable[[str], None] = lambda _message: None,
) -> IngestReport:
    """Make a snapshot of `source` and record it in the registry, or find that it is there already.

    Args:
        source: A file or a folder, as the format has it.
        format: Name of a loader: one of `twinvec.catalogue.loaders.loader_names()`.
        settings: `home` is where snapshots are kept, `ingest` how strict to be.
        engine: The registry's database.
        progress: Called now and then with a message.

    Raises:
        NotFoundError: If there is no such source.
        CatalogueError: If it cannot be read, has no products, or breaks its contract too often. Nothing is
            left behind.
    """
    loader = find_loader(format)
    source = Path(source).expanduser().absolute()
    if not source.exists():
        raise NotFoundError(f"no such file or folder: {source}", "name the source to ingest")
    snapshots = settings.paths.snapshots
    snapshots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".ingest-", dir=snapshots) as folder:
        try:
            report = _build(source, format, settings.ingest, Path(folder), loader, progress)
        except duckdb.OutOfMemoryException as error:
            raise CatalogueError(
                f"{source} does not fit: {error}", "raise the setting ingest.memory_limit, or free disk space"
            ) from error
        except duckdb.Error as error:
            raise CatalogueError(
                f"{source} cannot be ingested: {error}", "mend what the message names"
            ) from error
        report = _keep(report, snapshots)
    _record(report, engine)
    return report


def _build(
    source: Path,
    format: str,  # noqa: A002
    settings: IngestSettings,
    folder: Path,
    loader: Loader,
    progress: Callable[[str], None],
) -> IngestReport:
    """Build the snapshot in a draft folder of `folder`."""
    draft = folder / "draft"
    draft.mkdir()
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": settings.memory_limit,
        "temp_directory": str(folder / "spill"),
    }
    with duckdb.connect(config=config) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        prepare(connection)
        progress(f"reading {source.name}")
        staged = loader.load(
            source,
            LoaderContext(connection, folder, settings.columns, progress),
        )
        progress("checking rows")
        admissions = {
            table: admit(
                connection,
                table,
                staged.queries[table],
                settings.max_quarantined,
                listed="listings" not in staged.queries,
            )
            for table in (*SELECTED, *MINED)
            if table in staged.queries
        }
        _require_products(source, admissions["products"])
        quarantined = {table: dict(admission.refused) for table, admission in admissions.items()}
        if "judgements" in admissions and (contradicted := judgements.resolve(connection)):
            quarantined["judgements"][judgements.CONTRADICTED] = contradicted
        if "listings" in admissions:
            quarantined["listings"] |= listings.resolve(
                connection, admissions["listings"], settings.max_quarantined
            )
        derived = ["listings"] if listings.admit_of_products(connection) else []
        progress("writing tables")
        written = [table for table in SELECTED if table in admissions or table in derived]
        tables = {table: write_rows(connection, table, draft) for table in written}
        for table, (events, key) in MINED.items():
            if table in admissions or events not in admissions:
                view = f"admitted_{table}" if table in admissions else None
                directed = staged.directed or table == "coview"
                tables[table] = write_pairs(connection, table, view, directed, draft)
                continue
            mined = f"mined_{table}"
            large = mine_pairs(connection, f"admitted_{events}", key, mined, settings.max_basket)
            reason = f"basket of more than {settings.max_basket} products"
            quarantined[table] = {reason: large} if large else {}
            tables[table] = write_mined(connection, table, mined, draft)
        write_quarantine(connection, draft)
    progress("hashing contents")
    identity = contents.digest_of({table: draft / f"{table}.parquet" for table in tables}, staged.directed)
    snapshot = Snapshot(identity, draft, staged.directed, staged.image_root, tables, models.utc_now())
    rows = {table: admission.read for table, admission in admissions.items()}
    return IngestReport(snapshot, format, str(source), rows, quarantined, new=True)


def _require_products(source: Path, products: Admission) -> None:
    if products.read == sum(products.refused.values()):
        raise CatalogueError(
            f"{source} has no usable product among {products.read:,} rows",
            "check that it is the right file, in the format named",
        )


def _keep(report: IngestReport, snapshots: Path) -> IngestReport:
    """Move the draft to its name, unless the same snapshot is there whole."""
    draft = report.snapshot
    target = snapshots / draft.id
    try:
        existing = open_snapshot(target)
    except TwinvecError:
        snapshot = replace(draft, path=target)
        write_record(snapshot, draft.path)
        shutil.rmtree(target, ignore_errors=True)  # a damaged one
        draft.path.rename(target)
        return replace(report, snapshot=snapshot)
    if existing.image_root != draft.image_root:
        # Where the images lie is no part of the contents, and may have changed.
        existing = replace(existing, image_root=draft.image_root)
        write_record(existing, target)
    return replace(report, snapshot=existing, new=False)


def _record(report: IngestReport, engine: Engine) -> None:
    """Record the snapshot; if the registry refuses, a new one is taken away again."""
    snapshot = report.snapshot
    row = models.Snapshot(
        id=snapshot.id,
        path=str(snapshot.path),
        source=report.source,
        format=report.format,
        products=snapshot.tables["products"],
        report={"rows": report.rows, "quarantined": report.quarantined, "tables": snapshot.tables},
        created_at=snapshot.created_at,
    )
    try:
        with transaction(engine) as session:
            operations.record_snapshot(session, row)
    except BaseException:
        if report.new:
            shutil.rmtree(snapshot.path, ignore_errors=True)
        raise
