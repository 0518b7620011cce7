"""Atomic writing of files and folders: they appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Numbers of the errors of a file that this process may not write.
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
_BLOCK = 1 << 20
_ZEROS = bytes(_BLOCK)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty sibling of `target` that becomes `target` when the block ends without an error.

    An error removes what was written. An existing `target` is replaced.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    staging.mkdir()
    try:
        yield staging
        if target.exists():
            shutil.rmtree(target)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Yield a path beside `target`; the file that is written there becomes `target` when the block ends.

    An error removes what was written. An existing `target` is replaced.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        yield staging
        staging.replace(target)
    finally:
        staging.unlink(missing_ok=True)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder, 64 hexadecimal digits, by its path there, in order of the paths."""
    paths = sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return {str(path): digest(folder / path) for path in paths}


def digest(file: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def write_text(target: Path, text: str) -> None:
    """Write `text` to `target` under a temporary name, then rename."""
    write_bytes(target, text.encode("utf-8"))


def write_bytes(target: Path, content: bytes) -> None:
    """Write `content` to `target` under a temporary name, then rename."""
    with new_file(target) as staging:
        staging.write_bytes(content)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made if it is not there, while the block runs; others wait."""
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def copy_sparse(source: Path, target: Path) -> None:
    """Copy the contents of a file, with holes where the original is zero; rights are those of a new file."""
    with source.open("rb") as old, target.open("wb") as new:
        while block := old.read(_BLOCK):
            if block == _ZEROS:
                new.seek(_BLOCK, os.SEEK_CUR)
            else:
                new.write(block)
        new.truncate()
