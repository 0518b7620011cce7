"""Homes that many tests begin from: built once in a run of tests, and copied."""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest

from twinvec import files
from twinvec.place import ensure_place
from twinvec.settings import Settings

T = TypeVar("T")


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], T]) -> T:
    """Call `build` with a folder of its own, once for all workers of a run, and return a copy of what it returned.

    Nobody may write to the folder afterwards.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, result = base / f"shared-{name}", base / f"shared-{name}.pickle"
    with (base / f"shared-{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            result.write_bytes(pickle.dumps(build(folder)))
        copy: T = pickle.loads(result.read_bytes())
    return copy


def copied(home: Path, target: Path) -> Path:
    """Copy a home without the room that Edge reserves: every shard has files of 32 MiB that are all but empty."""
    return shutil.copytree(home, target, copy_function=copy_file)


def copy_file(source: str, target: str) -> str:
    """Copy a file with holes where the original is zero."""
    if source.endswith(".safetensors"):  # never written to again
        os.link(source, target)
        return target
    files.copy_sparse(Path(source), Path(target))
    return target


def relocate(home: Path, old: Path) -> None:
    """Let everything in a copy of a home mean its own files, where it meant those of the home it was copied from."""
    assert ensure_place(Settings(home=home)), f"nothing named {old}"


def restore(home: Path, backup: Path) -> None:
    """Let a home be as it was, at the same place; MLflow keeps its database open, which is written over."""
    databases = {file.relative_to(home) for file in home.rglob("*.db*") if file.is_file()}
    for file in [
        file for file in home.rglob("*") if file.is_file() and file.relative_to(home) not in databases
    ]:
        file.unlink()
    shutil.copytree(
        backup, home, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.db*"), copy_function=copy_file
    )
    for folder in sorted((each for each in home.rglob("*") if each.is_dir()), reverse=True):
        if not (backup / folder.relative_to(home)).is_dir():
            folder.rmdir()
    for file in backup.rglob("*.db"):
        with (
            closing(sqlite3.connect(file)) as source,
            closing(sqlite3.connect(home / file.relative_to(backup))) as target,
        ):
            source.backup(target)
