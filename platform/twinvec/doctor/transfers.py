"""Checks of lent behaviour: what the settings name is there, whole, and of a snapshot that is known."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from registry.database import transaction
from registry.snapshots import all_snapshots
from twinvec.catalogue.transfers import (
    LENT,
    LENT_FILE,
    MAPPING_FILE,
    read_transfer,
    transfer_folders,
)
from twinvec.doctor.finding import Finding
from twinvec.errors import StoreError
from twinvec.workspace import Workspace

STORE = "files"


def check(workspace: Workspace, _deep: bool) -> Iterator[Finding]:
    """Check each transfer of the home, and those that `graph.transferred` names."""
    paths, named = workspace.settings.paths, workspace.settings.graph.transferred
    with transaction(workspace.engine) as session:
        snapshots = {snapshot.id for snapshot in all_snapshots(session)}
    folders = transfer_folders(paths)
    for folder in folders:
        fault = _fault(folder, snapshots)
        if fault is not None:
            used = folder.name in named
            yield Finding(
                STORE,
                f"transfer {folder.name}",
                fault + (", and graph.transferred names it" if used else ""),
                "`twinvec transfer` makes another; then take this one out of graph.transferred"
                if used
                else f"twinvec doctor --fix deletes it: {folder}",
                None if used else partial(_remove, folder, paths.home),
            )
    there = {folder.name for folder in folders}
    for name in named:
        if name not in there:
            yield Finding(
                "settings",
                f"graph.transferred {name}",
                "names no transfer of this home",
                "take it out, or make it again with `twinvec transfer`",
            )


def _fault(folder: Path, snapshots: set[str]) -> str | None:
    """Return what is wrong with a transfer, or None."""
    try:
        made = read_transfer(folder)
        lent = pq.read_metadata(folder / LENT_FILE)
        mapping = pq.read_metadata(folder / MAPPING_FILE)
    except StoreError as error:
        return error.message
    except (OSError, pa.ArrowException) as error:
        return f"has a file that cannot be read: {str(error).splitlines()[0]}"
    if lent.schema.to_arrow_schema().names != LENT.names:
        return f"has a {LENT_FILE} with other columns"
    if lent.num_rows != made.copurchase + made.coview or not mapping.num_rows:
        return f"has {lent.num_rows:,} lent pairs, and its record names {made.copurchase + made.coview:,}"
    if made.snapshot not in snapshots:
        return f"was made from the snapshot {made.snapshot}, which the registry does not know"
    return None


def _remove(folder: Path, home: Path) -> None:
    from twinvec.releases.storage import remove_folder

    remove_folder(folder, home)
