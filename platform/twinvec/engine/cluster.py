"""A cluster as work sees it: a function that runs tasks, and a folder that all machines reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import fsspec

from twinvec.errors import StoreError

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


class Run(Protocol):
    """Runs a function on each task, on any machine and more than once if a machine is lost."""

    def __call__(self, work: Callable[[TaskT], ResultT], tasks: Sequence[TaskT]) -> list[ResultT]:
        """Return the results in the order of the tasks."""
        ...


@dataclass(frozen=True)
class Cluster:
    """A cluster.

    Attributes:
        run: Runs tasks. A task may be run twice, so it writes files under a name of its own and returns their names.
        store: Folder for files between tasks, a path or an fsspec URL that every machine reaches.
        partitions: Number of partitions of a log.
        memory_limit: Memory limit of DuckDB in a task, such as `1GB`.
    """

    run: Run
    store: str
    partitions: int
    memory_limit: str

    @contextmanager
    def folder(self) -> Iterator[str]:
        """Yield the name of a folder in the store; it is removed afterwards with all that tasks left in it."""
        name = f"{self.store.rstrip('/')}/{uuid4().hex}"
        try:
            filesystem, path = fsspec.core.url_to_fs(name)
            filesystem.makedirs(path, exist_ok=True)
        except (OSError, ValueError, ImportError) as error:
            raise StoreError(
                f"the folder {self.store} for files between tasks cannot be used: {error}",
                "set ray.store to a folder or fsspec URL that all machines can write to",
            ) from error
        try:
            yield name
        finally:
            if filesystem.exists(path):
                filesystem.rm(path, recursive=True)


def in_turn(work: Callable[[Any], ResultT], tasks: Sequence[Any]) -> list[ResultT]:
    """Run the tasks one after another in this process."""
    return [work(task) for task in tasks]
