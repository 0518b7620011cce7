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
from typing import Any
from uuid import uuid4

import duckdb
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from twinvec.catalogue.cooccurrence import PAIRS, add_up, count_cooccurrence, count_positions
from twinvec.catalogue.snapshot import identifier, quoted
from twinvec.engine import Cluster

Parts = Mapping[int, Sequence[str]]
"""Number of a partition → its files."""
SUMMED = PAIRS // 4
"""Number of counts that a task adds up in memory, in at most 48 bytes each; DuckDB adds up more."""
PAIRS_OF_POSITIONS = pa.schema([("source", pa.int32()), ("target", pa.int32()), ("count", pa.int64())])


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
    items: int | None
    partitions: int
    memory_limit: str


@dataclass(frozen=True)
class _Total:
    files: Sequence[str]
    folder: str
    items: int | None
    memory_limit: str


def part_of(position: NDArray[Any], items: int, partitions: int) -> NDArray[np.int64]:
    """Return the partition of pairs whose lower items are at these positions below `items`.

    Partitions rise with the lower item, so that their files one after another are sorted.

    The lower items of random pairs are dense at the lower end: a share s of the items has 1 − (1 − s)² of the pairs.
    """
    share = 1 - (1 - position / max(1, items)) ** 2
    part: NDArray[np.int64] = (partitions * share).astype(np.int64)
    return part


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


def count(cluster: Cluster, folder: str, parts: Parts, largest: int, items: int | None) -> Counted:
    """Count the pairs of the baskets in `parts`.

    Args:
        cluster: Machines that count.
        folder: Folder of the files.
        parts: Partitions of whole baskets.
        largest: Distinct items of the largest basket that makes pairs.
        items: Number of items if they are positions; None if they are names, whose pairs are partitioned by hash.
    """
    limit, number = cluster.memory_limit, cluster.partitions
    counts = cluster.run(
        _count,
        [
            _Count(files, f"{folder}/counts", largest, items, number, limit)
            for _, files in sorted(parts.items())
        ],
    )
    pairs = _merged([each for each, _, _ in counts])
    totals = [_Total(files, f"{folder}/totals", items, limit) for _, files in sorted(pairs.items())]
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


def batches(files: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of some Parquet files, one after another, in batches of at most `rows`."""
    for file in files:
        filesystem, path = fsspec.core.url_to_fs(file)
        with filesystem.open(path, "rb") as opened, pq.ParquetFile(opened) as parquet:
            yield from parquet.iter_batches(rows)


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
        folder = f"{task.folder}/{uuid4().hex}"
        lines = f"SELECT name, item FROM {read(task.files)}"
        if task.items is not None:
            with _PairFiles(folder, task.items, task.partitions) as pairs:
                counted = count_positions(
                    connection, lines, task.items, "pairs", task.largest, pairs.add, processors=1
                )
                single = np.flatnonzero(counted.alone)
                pairs.add(single, single, counted.alone[single])
            return pairs.files, counted.baskets, counted.too_large
        connection.execute(f"CREATE TABLE log AS {lines}")
        connection.execute(
            "CREATE TABLE items AS SELECT item, row_number() OVER (ORDER BY item) - 1 AS number "
            "FROM (SELECT DISTINCT item FROM log)"
        )
        names = (
            connection.sql("SELECT item FROM items ORDER BY number").to_arrow_table()["item"].combine_chunks()
        )
        numbered = "SELECT log.name, items.number AS item FROM log JOIN items USING (item)"
        counted = count_cooccurrence(connection, numbered, names, "pairs", task.largest, processors=1)
        connection.register("alone", pa.table({"item": names, "count": counted.alone}))
        both = "SELECT * FROM pairs UNION ALL SELECT item, item, count FROM alone WHERE count > 0"
        place = f"(hash(source) % {task.partitions})::BIGINT"
        files = _write(connection, f"SELECT *, {place} AS part FROM ({both})", folder)
        return files, counted.baskets, counted.too_large


class _PairFiles:
    """Counts of pairs of positions, written into a file for each partition as they come.

    Args:
        folder: Folder of the files.
        items: Number of items.
        partitions: Number of partitions.
    """

    def __init__(self, folder: str, items: int, partitions: int) -> None:
        self.folder, self.items, self.partitions = folder, items, partitions
        self.files: dict[int, list[str]] = {}
        self._writers: dict[int, pq.ParquetWriter] = {}
        self._filesystem, self._path = fsspec.core.url_to_fs(folder)
        self._filesystem.makedirs(self._path, exist_ok=True)

    def __enter__(self) -> _PairFiles:
        """Return the object; leaving the context closes the files."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()

    def add(self, one: NDArray[Any], other: NDArray[Any], count: NDArray[Any]) -> None:
        """Add pairs that are sorted by their lower item."""
        part = part_of(one, self.items, self.partitions)
        for number in np.unique(part).tolist():
            first, last = np.searchsorted(part, [number, number + 1])
            if number not in self._writers:
                name = f"{number:06}.parquet"
                self.files[number] = [f"{self.folder}/{name}"]
                self._writers[number] = pq.ParquetWriter(
                    f"{self._path}/{name}", PAIRS_OF_POSITIONS, filesystem=self._filesystem
                )
            columns = (one[first:last], other[first:last], count[first:last])
            self._writers[number].write_table(_pairs_table(*columns))


def _pairs_table(one: NDArray[Any], other: NDArray[Any], count: NDArray[Any]) -> pa.Table:
    columns = (one.astype(np.int32), other.astype(np.int32), count.astype(np.int64))
    return pa.table([pa.array(each) for each in columns], PAIRS_OF_POSITIONS)


def _total(task: _Total) -> str:
    """Add up the counts of one partition of the pairs, and return the file of the sums."""
    file = f"{task.folder}/{uuid4().hex}.parquet"
    filesystem, path = fsspec.core.url_to_fs(file)
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    paths = [fsspec.core.url_to_fs(each)[1] for each in task.files]
    if task.items is not None and _rows(paths, filesystem) <= SUMMED:
        table = pa.concat_tables([pq.read_table(each, filesystem=filesystem) for each in paths])
        one, other, count = (table[name].to_numpy() for name in table.column_names)
        sums = add_up(one.copy(), other, count, task.items)
        pq.write_table(_pairs_table(*sums), path, filesystem=filesystem)
        return file
    with connect(task.folder, task.memory_limit) as connection:
        connection.execute(
            f"""COPY (
                SELECT source, target, sum(count)::BIGINT AS count FROM {read(task.files)}
                GROUP BY source, target ORDER BY source, target
            ) TO '{file}' (FORMAT parquet)"""
        )
    return file


def _rows(paths: Sequence[str], filesystem: Any) -> int:
    return sum(pq.read_metadata(each, filesystem=filesystem).num_rows for each in paths)


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
