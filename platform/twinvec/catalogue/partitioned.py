"""Co-occurrence counts of a log in partitions: baskets by their names, then pairs by their lower items.

    lines ── split by hash(basket) ──► parts of whole baskets ── count ──► counts by lower item ── add up ──► totals

Each arrow is a task that reads some Parquet files and writes others. A task can be repeated on another machine: it
writes into a folder of its own, and only the files whose names it returns are read. No task holds more than its
partition, and DuckDB keeps what exceeds its memory limit on the machine's disk.

A row of the counts is a lower item, a higher item and a number of baskets; an item with itself has the number of
baskets that hold it.
"""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import duckdb
import fsspec
import pyarrow as pa

from twinvec.catalogue.cooccurrence import count_cooccurrence
from twinvec.catalogue.snapshot import identifier, quoted
from twinvec.engine import Cluster

Parts = Mapping[int, Sequence[str]]
"""Number of a partition → its files."""


@dataclass(frozen=True)
class Counted:
    """Counts of a log.

    Attributes:
        files: Parquet files of source, target and count, each sorted by source and target, in the order of the
            partitions; a pair is in one of them.
        baskets: Number of baskets of any size.
        too_large: Number of baskets that were too large to make pairs.
    """

    files: list[str]
    baskets: int
    too_large: int


@dataclass(frozen=True)
class _Split:
    file: str
    folder: str
    basket: str
    item: str
    partitions: int


@dataclass(frozen=True)
class _Count:
    files: Sequence[str]
    folder: str
    largest: int
    place: str
    memory_limit: str


@dataclass(frozen=True)
class _Total:
    files: Sequence[str]
    folder: str
    memory_limit: str


def by_range(items: int) -> str:
    """Return SQL, with a place for `{partitions}`, of the partition of a pair of positions below `items`.

    Partitions rise with the lower item, so that their files one after another are sorted.

    The lower items of random pairs are dense at the lower end: a share s of the items has 1 − (1 − s)² of the pairs.
    """
    below = f"(1 - source / {max(1, items)}.0)"
    return f"floor({{partitions}} * (1 - {below} * {below}))::BIGINT"


BY_HASH = "(hash(source) % {partitions})::BIGINT"
"""SQL of the partition of a pair of names."""


def split(connection: duckdb.DuckDBPyConnection, lines: str, folder: str, partitions: int) -> Parts:
    """Write the lines of a query, `name` and `item`, as partitions of whole baskets."""
    _reach(connection, folder)
    return _write(
        connection, f"SELECT name, item, (hash(name) % {partitions})::BIGINT AS part FROM ({lines})", folder
    )


def split_files(cluster: Cluster, folder: str, files: Sequence[str], basket: str, item: str) -> Parts:
    """Write the lines of Parquet files as partitions of whole baskets, a task for each file.

    Args:
        cluster: Machines that read.
        folder: Folder of the partitions.
        files: Paths or fsspec URLs.
        basket: Column of the basket's name; a line without one is left out, as is one without an item.
        item: Column of the item's name.
    """
    tasks = [_Split(file, f"{folder}/lines", basket, item, cluster.partitions) for file in files]
    return _merged(cluster.run(_split, tasks))


def count(cluster: Cluster, folder: str, parts: Parts, largest: int, place: str) -> Counted:
    """Count the pairs of the baskets in `parts`.

    Args:
        cluster: Machines that count.
        folder: Folder of the files.
        parts: Partitions of whole baskets.
        largest: Distinct items of the largest basket that makes pairs.
        place: `by_range` of positions, or `BY_HASH` of names.
    """
    limit = cluster.memory_limit
    chosen = place.format(partitions=cluster.partitions)
    counts = cluster.run(
        _count,
        [_Count(files, f"{folder}/counts", largest, chosen, limit) for _, files in sorted(parts.items())],
    )
    pairs = _merged([each for each, _, _ in counts])
    totals = [_Total(files, f"{folder}/totals", limit) for _, files in sorted(pairs.items())]
    return Counted(
        cluster.run(_total, totals),
        sum(baskets for _, baskets, _ in counts),
        sum(large for _, _, large in counts),
    )


@contextmanager
def connect(location: str, memory_limit: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with one thread that reaches `location` and spills to this machine's disk."""
    with tempfile.TemporaryDirectory(prefix="twinvec-") as spill:
        config: dict[str, str | bool | int | float | list[str]] = {"temp_directory": spill, "threads": 1}
        if memory_limit is not None:
            config["memory_limit"] = memory_limit
        with duckdb.connect(config=config) as connection:
            _reach(connection, location)
            yield connection


def read(files: Sequence[str]) -> str:
    """Return SQL of the rows of some Parquet files, without what their folders' names say."""
    names = ", ".join(map(quoted, files))
    return f"read_parquet([{names}], hive_partitioning = false)"


def _reach(connection: duckdb.DuckDBPyConnection, location: str) -> None:
    """Let the connection read and write where `location`, a path or an fsspec URL, lies."""
    filesystem, _ = fsspec.core.url_to_fs(location)
    protocol = filesystem.protocol if isinstance(filesystem.protocol, str) else filesystem.protocol[0]
    if protocol != "file" and not connection.filesystem_is_registered(protocol):
        connection.register_filesystem(filesystem)


def _split(task: _Split) -> Parts:
    with connect(task.folder) as connection:
        _reach(connection, task.file)
        basket, item = map(identifier, (task.basket, task.item))
        lines = f"""SELECT {basket} AS name, {item} AS item FROM {read([task.file])}
                    WHERE {basket} IS NOT NULL AND {item} IS NOT NULL"""
        return split(connection, lines, f"{task.folder}/{uuid4().hex}", task.partitions)


def _count(task: _Count) -> tuple[Parts, int, int]:
    """Return the files of the counts by partition, the number of baskets, and of those too large."""
    with connect(task.folder, task.memory_limit) as connection:
        connection.execute(f"CREATE TABLE log AS FROM {read(task.files)}")
        connection.execute(
            "CREATE TABLE items AS SELECT item, row_number() OVER (ORDER BY item) - 1 AS number "
            "FROM (SELECT DISTINCT item FROM log)"
        )
        names = (
            connection.sql("SELECT item FROM items ORDER BY number").to_arrow_table()["item"].combine_chunks()
        )
        lines = "SELECT log.name, items.number AS item FROM log JOIN items USING (item)"
        counted = count_cooccurrence(connection, lines, names, "pairs", task.largest, processors=1)
        connection.register("alone", pa.table({"item": names, "count": counted.alone}))
        both = "SELECT * FROM pairs UNION ALL SELECT item, item, count FROM alone WHERE count > 0"
        files = _write(
            connection, f"SELECT *, {task.place} AS part FROM ({both})", f"{task.folder}/{uuid4().hex}"
        )
        return files, counted.baskets, counted.too_large


def _total(task: _Total) -> str:
    """Add up the counts of one partition of the pairs, and return the file of the sums."""
    file = f"{task.folder}/{uuid4().hex}.parquet"
    with connect(task.folder, task.memory_limit) as connection:
        filesystem, path = fsspec.core.url_to_fs(task.folder)
        filesystem.makedirs(path, exist_ok=True)
        connection.execute(
            f"""COPY (
                SELECT source, target, sum(count)::BIGINT AS count FROM {read(task.files)}
                GROUP BY source, target ORDER BY source, target
            ) TO '{file}' (FORMAT parquet)"""
        )
    return file


def _write(connection: duckdb.DuckDBPyConnection, rows: str, folder: str) -> Parts:
    """Write rows into a file for each value of their column `part`."""
    filesystem, path = fsspec.core.url_to_fs(folder)
    filesystem.makedirs(path, exist_ok=True)
    ((_, files),) = connection.execute(
        f"COPY ({rows}) TO '{folder}' (FORMAT parquet, PARTITION_BY (part), RETURN_FILES true)"
    ).fetchall()
    parts: defaultdict[int, list[str]] = defaultdict(list)
    for file in files:
        found = re.search(r"part=(\d+)/", file)
        assert found is not None, f"DuckDB named a file of a partition {file}"
        parts[int(found[1])].append(file)
    return dict(parts)


def _merged(several: Sequence[Parts]) -> Parts:
    merged: defaultdict[int, list[str]] = defaultdict(list)
    for parts in several:
        for number, files in parts.items():
            merged[number] += files
    return dict(merged)
