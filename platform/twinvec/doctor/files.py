"""Checks of the files of snapshots and versions: they exist, can be read, and have the registry's rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from registry import operations
from registry.database import transaction
from registry.models import Snapshot, State, Version
from registry.snapshots import latest_snapshot
from twinvec.doctor.finding import Finding
from twinvec.errors import TwinvecError
from twinvec.features.manifest import FILE, Manifest, write_manifest
from twinvec.files import digest
from twinvec.workspace import Workspace

STORE = "files"
# Equal to twinvec.features.vectors.FOLDER, whose module imports DuckDB.
VECTORS = "vectors"


def check(workspace: Workspace, deep: bool) -> Iterator[Finding]:
    """Check every usable version, and the snapshots that these or the next training read.

    Args:
        workspace: Stores.
        deep: True to read whole files, not only their metadata.
    """
    with transaction(workspace.engine) as session:
        versions = operations.versions(session, [State.READY])
        newest = latest_snapshot(session)
    snapshots = {version.snapshot_id: version.snapshot for version in versions}
    if newest is not None:
        snapshots[newest.id] = newest
    for snapshot in snapshots.values():
        yield from _snapshot(snapshot, deep)
    for version in versions:
        yield from _version(version, deep)


def _snapshot(row: Snapshot, deep: bool) -> Iterator[Finding]:
    from twinvec.catalogue import contents
    from twinvec.catalogue.snapshot import open_snapshot

    where, again = f"snapshot {row.id}", f"twinvec ingest {row.source} --format {row.format}"
    try:
        snapshot = open_snapshot(Path(row.path))
    except TwinvecError as error:
        yield Finding(STORE, where, f"cannot be read: {error.message}", again)
        return
    if deep:
        tables = {name: snapshot.table(name) for name in snapshot.tables}
        contents_digest = contents.digest_of(tables, snapshot.directed)
        if contents_digest != row.id:
            yield Finding(
                STORE, where, f"has other contents, of digest {contents_digest}", f"rm -r {row.path}; {again}"
            )


def _version(version: Version, deep: bool) -> Iterator[Finding]:
    folder, again = Path(version.path), f"twinvec train {version.space} --force"
    if not folder.is_dir():
        yield Finding(
            STORE,
            version.name,
            f"is ready, but {folder} is not there",
            f"bring it back from a backup, or make another: {again}",
        )
        return
    try:
        found = Manifest.from_json(json.loads((folder / FILE).read_text("utf-8"))).digest
    except (OSError, ValueError, TwinvecError):
        found = None
    if found is None:
        yield Finding(
            STORE,
            version.name,
            f"has no {FILE} that can be read",
            "twinvec doctor --fix writes it anew from the registry",
            partial(write_manifest, folder, Manifest.from_json(version.manifest)),
        )
    elif found != version.digest:
        yield Finding(STORE, version.name, f"is manifest {version.digest}, and {folder} has {found}", again)
    lost = [name for name in version.files or () if not (folder / name).is_file()]
    yield from _contents(version, folder, lost, again, deep)
    # What a lost file takes from the vectors is said with the file.
    if version.has_view and not any(name.startswith(f"{VECTORS}/") for name in lost):
        yield from _vectors(version, folder / VECTORS, again, deep)


def _contents(
    version: Version, folder: Path, lost: Sequence[str], again: str, deep: bool
) -> Iterator[Finding]:
    """Compare the files with those that training wrote. Files that were added since, such as a map, do not count."""
    written = version.files or {}
    if lost:
        yield Finding(
            STORE, version.name, f"has lost {', '.join(lost)}", f"bring it back from a backup, or {again}"
        )
    there = [name for name in written if name not in lost] if deep else []
    changed = [name for name in there if digest(folder / name) != written[name]]
    if changed:
        yield Finding(
            STORE,
            version.name,
            f"has other contents than were written in {', '.join(changed)}",
            f"bring it back from a backup, or {again}",
        )


def _vectors(version: Version, folder: Path, again: str, deep: bool) -> Iterator[Finding]:
    manifest = Manifest.from_json(version.manifest)
    parts = sorted(folder.glob("*.parquet"))
    try:
        described = [pq.read_metadata(part) for part in parts]
        rows = sum(part.num_rows for part in described)
        names = {name for part in described for name in part.schema.to_arrow_schema().names}
        faults = _faults(parts, manifest) if deep else []
    except (OSError, pa.ArrowException) as error:
        yield Finding(STORE, version.name, f"has a damaged file: {error}", again)
        return
    kind = "vectors" if manifest.types is None else "rows"
    if rows != version.rows:
        yield Finding(STORE, version.name, f"has {rows:,} {kind}, not {version.rows or 0:,}", again)
    elif not names.issuperset(manifest.fields):
        missing = ", ".join(sorted({*manifest.fields} - names))
        yield Finding(STORE, version.name, f"has no column {missing}", again)
    for fault in faults:
        yield Finding(STORE, version.name, fault, again)


def _faults(parts: Sequence[Path], manifest: Manifest) -> list[str]:
    """Return the faults of the vectors; memory is that of a batch and of the keys."""
    odd = 0
    keys: set[tuple[str, ...]] = set()
    rows = 0
    for part in parts:
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(columns=[*manifest.keys, *manifest.fields]):
                keys.update(zip(*(batch[key].to_pylist() for key in manifest.keys), strict=True))
                rows += batch.num_rows
                for field in manifest.fields if manifest.types is None else ():
                    values = batch[field].flatten().to_numpy(zero_copy_only=False)
                    if len(values) != batch.num_rows * manifest.dimension or not np.isfinite(values).all():
                        odd += 1
    faults = [f"has vectors that are not {manifest.dimension} finite numbers"] if odd else []
    return faults + ([f"has {rows - len(keys):,} keys twice"] if len(keys) != rows else [])
