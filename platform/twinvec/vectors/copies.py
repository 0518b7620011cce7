"""Copies of shards that lie where this user may not write: Qdrant Edge opens a shard's payloads for writing, always.

A copy is made once for each state of a collection, under the system's folder for temporary files (`TMPDIR`), and is
found again by later processes of the same user. Nobody else can read it, or put another in its place.
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

from twinvec import digest, files
from twinvec.errors import StoreError
from twinvec.vectors.locks import take_lock

log = logging.getLogger(__name__)
# A copy takes as long as the disk takes.
PATIENCE_SECONDS = 600.0


def openable(shard: Path) -> Path:
    """Return the folder of a shard that Edge can open: itself where it can be written, else that of a copy.

    Raises:
        StoreError: If somebody else's folder is where copies would be.
        OSError: If there is no room for a copy.
    """
    if not shard.is_dir() or os.access(shard, os.W_OK):
        return shard
    copies = _private(Path(tempfile.gettempdir()) / f"twinvec-{os.getuid()}")
    copy = copies / _state(shard)
    if copy.is_dir():
        return copy
    with take_lock(copies / ".lock", f"the copies in {copies}", exclusive=True, patience=PATIENCE_SECONDS):
        if not copy.is_dir():
            log.warning(
                "%s cannot be written, and Qdrant Edge opens no such collection: it is copied to %s, once",
                shard.parent,
                copy,
            )
            with files.new_folder(copy) as staging:
                _copy(shard, staging)
    return copy


def _private(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = folder.lstat()
    if folder.is_symlink() or owner.st_uid != os.getuid() or owner.st_mode & 0o077:
        raise StoreError(
            f"{folder} is not a folder of this user alone", "remove it, or set TMPDIR to another folder"
        )
    return folder


def _state(shard: Path) -> str:
    """Return a name for the contents of a shard as they are now, by what tells that a file has changed."""
    found = sorted(file for file in shard.rglob("*") if file.is_file())
    status = {str(file.relative_to(shard)): file.stat() for file in found}
    stated = {name: (each.st_size, each.st_mtime_ns, each.st_ino) for name, each in status.items()}
    return f"{shard.parent.name}-{digest.of_json({'shard': shard.absolute(), 'files': stated})}"


def _copy(shard: Path, target: Path) -> None:
    # Not `copytree`, which copies the rights of folders, too.
    for source in shard.rglob("*"):
        copy = target / source.relative_to(shard)
        if source.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            files.copy_sparse(source, copy)
