"""Ingestion: read a source, check its rows, mine pairs, write the snapshot, name it by its contents, record it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path

import duckdb
from sqlalchemy import Engine

from registry import models
from registry.database import transaction
from registry.snapshots import record_snapshot, snapshot_times
from twinvec.catalogue import contents, coverage, judgements, listings
from twinvec.catalogue.as_of import read_time
from twinvec.catalogue.loaders import Loader, find_loader
from twinvec.catalogue.loaders.staging import LoaderContext
from twinvec.catalogue.mining import mine_pairs
from twinvec.catalogue.quarantine import Admission, admit, prepare
from twinvec.catalogue.snapshot import Snapshot, open_snapshot, write_record
from twinvec.catalogue.writing import SELECTED, write_mined, write_pairs, write_quarantine, write_rows
from twinvec.disk import HINT, is_full
from twinvec.engine import open_cluster
from twinvec.errors import CatalogueError, NotFoundError, TwinvecError
from twinvec.settings import Settings
from twinvec.text import is_valid, valid

# Pairs of either kind, the events they can be mined from, and the column that says what belongs together.
MINED = {"copurchase": ("orders", "order_id"), "coview": ("views", "session_id")}


@dataclass(frozen=True)
class IngestReport:
    """Result of an ingest.

    Attributes:
        rows: Table → rows read from the source.
        quarantined: Table → reason → rows that break the contract.
        left_out: Table → reason → rows that are no errors and did not enter: pairs and events of unknown products,
            pairs of a product with itself, copies, returns, baskets too large to make pairs, and judgements that others
            of the same pair contradict.
        lost: Table → reason → admitted rows with a value that could not be used.
        fields: Table → column → admitted rows that have a value there.
        unread: Columns or keys of the source that nothing was read from.
        edition: Format that the source was told to be of, where a loader can tell.
        warnings: Sentences about what looks wrong.
        new: False if this snapshot was there before.
        as_of: Time from which the catalogue was so: the one that was stated, else the latest of the snapshot.
    """

    snapshot: Snapshot
    format: str
    source: str
    rows: dict[str, int]
    quarantined: dict[str, dict[str, int]]
    new: bool
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    lost: dict[str, dict[str, int]] = field(default_factory=dict)
    fields: dict[str, dict[str, int]] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    edition: str | None = None
    warnings: tuple[str, ...] = ()
    as_of: datetime | None = None


def ingest(
    source: Path,
    format: str,  # noqa: A002 - the word the command and the registry use
    settings: Settings,
    engine: Engine,
    progress: Callable[[str], None] = lambda _message: None,
    as_of: str | date | datetime | None = None,
) -> IngestReport:
    """Make a snapshot of `source` and record it in the registry, or find that it is there already.

    Args:
        source: A file or a folder, as the format has it.
        format: Name of a loader: one of `twinvec.catalogue.loaders.loader_names()`.
        settings: `home` is where snapshots are kept, `ingest` how strict to be.
        engine: The registry's database.
        progress: Called now and then with a message.
        as_of: Time that the data are of, ISO 8601; UTC if it names no zone. That of the ingest if not given.

    Raises:
        NotFoundError: If there is no such source.
        CatalogueError: If it cannot be read, has no products, or breaks its contract too often, or if `as_of` is no
            time of the past. Nothing is left behind.
        RegistryError: If the registry has another snapshot of that time, or features of this one with a later time.
    """
    stated = read_time(as_of) if as_of is not None else None
    loader = find_loader(format)
    source = Path(source).expanduser().absolute()
    if not is_valid(str(source)):
        raise CatalogueError(
            f"the name of {valid(str(source))!r} is not UTF-8, and databases keep no other", "rename it"
        )
    if not source.exists():
        raise NotFoundError(f"no such file or folder: {source}", "name the source to ingest")
    snapshots = settings.paths.snapshots
    snapshots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".ingest-", dir=snapshots) as folder:
        try:
            report = _build(source, format, settings, Path(folder), loader, progress, stated)
        except duckdb.Error as error:
            hint = "mend what the message names"
            if is_full(error):
                hint = HINT
            elif isinstance(error, duckdb.OutOfMemoryException):
                hint = "raise the setting ingest.memory_limit"
            raise CatalogueError(f"{source} cannot be ingested: {error}", hint) from error
        report = _keep(report, snapshots)
    return _record(report, engine, stated)


def _build(
    source: Path,
    format: str,  # noqa: A002
    everything: Settings,
    folder: Path,
    loader: Loader,
    progress: Callable[[str], None],
    as_of: datetime | None,
) -> IngestReport:
    """Build the snapshot in a draft folder of `folder`."""
    settings = everything.ingest
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
            LoaderContext(connection, folder, settings.columns, progress, settings),
        )
        progress("checking rows")
        admissions = {
            table: admit(
                connection,
                table,
                staged.queries[table],
                settings,
                listed="listings" not in staged.queries,
            )
            for table in (*SELECTED, *MINED)
            if table in staged.queries
        }
        _require_products(source, admissions["products"])
        quarantined, left_out = coverage.told_apart(admissions)
        if "judgements" in admissions and (contradicted := judgements.resolve(connection)):
            left_out["judgements"][judgements.CONTRADICTED] = contradicted
        if "listings" in admissions:
            quarantined["listings"] |= listings.resolve(
                connection, admissions["listings"], settings.max_quarantined
            )
        derived = ["listings"] if listings.admit_of_products(connection) else []
        coverage.check_matches(connection, source, admissions, staged)
        fields = coverage.count_fields(connection, admissions)
        warnings = coverage.warnings(connection, admissions, fields, staged, settings, loader)
        warnings += coverage.later_events(connection, admissions, as_of)
        progress("writing tables")
        written = [table for table in SELECTED if table in admissions or table in derived]
        tables = {table: write_rows(connection, table, draft) for table in written}
        coverage.count_copies(left_out, admissions, tables)
        for table, (events, key) in MINED.items():
            if table in admissions or events not in admissions:
                view = f"admitted_{table}" if table in admissions else None
                directed = staged.directed or table == "coview"
                tables[table] = write_pairs(connection, table, view, directed, draft)
                continue
            mined = f"mined_{table}"
            with open_cluster(everything) as cluster:
                large = mine_pairs(connection, f"admitted_{events}", key, mined, settings.max_basket, cluster)
            reason = f"basket of more than {settings.max_basket} products"
            left_out[table] = {reason: large} if large else {}
            tables[table] = write_mined(connection, table, mined, draft)
        write_quarantine(connection, draft)
    progress("hashing contents")
    identity = contents.digest_of({table: draft / f"{table}.parquet" for table in tables}, staged.directed)
    snapshot = Snapshot(identity, draft, staged.directed, staged.image_root, tables, models.utc_now())
    rows = {table: admission.read for table, admission in admissions.items()}
    lost = {table: admission.lost for table, admission in admissions.items()}
    return IngestReport(
        snapshot,
        format,
        valid(str(source)),
        rows,
        quarantined,
        True,
        left_out,
        lost,
        fields,
        staged.unread,
        staged.edition,
        tuple(warnings),
    )


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


def _record(report: IngestReport, engine: Engine, as_of: datetime | None) -> IngestReport:
    """Record the snapshot and its time; if the registry refuses, a new one is taken away again."""
    snapshot = report.snapshot
    row = models.Snapshot(
        id=snapshot.id,
        path=str(snapshot.path),
        source=report.source,
        format=report.format,
        products=snapshot.tables["products"],
        report={
            "rows": report.rows,
            "quarantined": report.quarantined,
            "left_out": report.left_out,
            "lost": report.lost,
            "fields": report.fields,
            "unread": list(report.unread),
            "edition": report.edition,
            "warnings": list(report.warnings),
            "tables": snapshot.tables,
        },
        created_at=snapshot.created_at,
    )
    try:
        with transaction(engine) as session:
            record_snapshot(session, row, as_of)
            times = snapshot_times(session)
    except BaseException:
        if report.new:
            shutil.rmtree(snapshot.path, ignore_errors=True)
        raise
    own = [each.as_of for each in times if each.snapshot_id == snapshot.id]
    warnings, latest = report.warnings, times[-1]
    if latest.snapshot_id != snapshot.id:
        moment = latest.as_of.isoformat(timespec="seconds")
        said = (
            f"snapshot {latest.snapshot_id} is of {moment} and stays the latest, which the stages start from"
        )
        warnings = (*warnings, said)
    return replace(report, as_of=as_of or own[-1], warnings=warnings)
