"""Co-occurrence counts: how many baskets each pair of items shares, without a self-join.

A basket of n items has n(n−1)/2 pairs; a self-join makes and throws away twice as many, and groups them by hash. Here
the lines are sorted once, the pairs of all baskets are written out a distance at a time (each item with the next, with
the one after, …), and equal pairs become neighbours without a comparison: as entries of a sparse matrix, which is
turned from rows to columns and back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array

Ints = NDArray[np.int64]
Items = NDArray[np.int32]
Keep = Callable[[Ints | Items, Ints | Items, Ints | Items], None]
"""Takes lower items, higher items and counts."""

LINES = 2**18
"""Number of lines of baskets that are processed at once."""
KEPT = 2**24
"""Number of lines up to which all stay in memory, at 8 bytes each, and are not read again."""
PAIRS = 2**25
"""Number of pairs that all threads count at once, in at most 20 bytes each."""
INSERTED = 2**20
"""Number of pairs that a thread of DuckDB inserts at once."""
FEW = 2**22
"""Number of possible pairs, such as those of categories, up to which each has a counter."""
THREADS = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class BasketCounts:
    """Counts of baskets and of single items.

    Attributes:
        baskets: Number of baskets of any size.
        too_large: Number of baskets that were too large to make pairs.
        alone: Number of baskets that hold each item, without those that are too large, int64 [items].
    """

    baskets: int
    too_large: int
    alone: Ints


@dataclass(frozen=True)
class _Baskets:
    """Some whole baskets.

    Attributes:
        item: Sorted and distinct within a basket, int32 [lines].
        left: Number of items after it in its basket, int32 [lines].
        count: Number of baskets, those too large included.
        too_large: Number of baskets whose lines are left out.
    """

    item: Items
    left: Items
    count: int
    too_large: int

    def pairs(self, place: Ints) -> Iterator[tuple[Items, Items]]:
        """Yield the lower and higher items of the pairs whose lower item is at `place`, a distance at a time."""
        distance = 1
        while len(place):
            yield self.item[place], self.item[place + distance]
            distance += 1
            place = place[self.left[place] >= distance]


def count_cooccurrence(
    connection: duckdb.DuckDBPyConnection,
    lines: str,
    names: pa.Array,
    table: str,
    largest: int,
    processors: int = THREADS,
) -> BasketCounts:
    """Create `table(source, target, count BIGINT)` of the pairs of items that share baskets.

    Each pair is there once, the lower item first, and the table is sorted by it. A basket counts once, however often
    it holds an item.

    Lines are sorted by DuckDB, within its memory limit and beyond it on disk. Beside that, memory is that of `LINES`
    lines and of `KEPT` kept ones, of `PAIRS` pairs (more if items alone have more as the lower of the two), of `FEW`
    counters, and of a name and a few numbers an item. If there are more lines and pairs than that, the lines are read
    again for every further `PAIRS` pairs.

    Args:
        connection: DuckDB connection that the table is created in.
        lines: Query of `name`, a basket's name that is never NULL, and `item`, a position in `names`.
        names: Names of all items, strings or int64; fewer than 2³¹.
        table: Name of the table.
        largest: Distinct items of the largest basket that makes pairs.
        processors: Number of threads that count.
    """
    create_pairs(connection, table, names)

    def insert(one: Ints | Items, other: Ints | Items, count: Ints | Items) -> None:
        insert_pairs(connection, table, names, one, other, count)

    return count_positions(connection, lines, len(names), table, largest, insert, processors)


def count_positions(
    connection: duckdb.DuckDBPyConnection,
    lines: str,
    items: int,
    table: str,
    largest: int,
    keep: Keep,
    processors: int = THREADS,
) -> BasketCounts:
    """Count the pairs of positions below `items`, and hand them to `keep`; see `count_cooccurrence`.

    Args:
        connection, lines, largest, processors: As there.
        items: Number of items.
        table: Beginning of the names of temporary tables.
        keep: Called with lower items, higher items and counts, sorted by both; lower items rise from call to call.
    """
    _sort(connection, lines, f"{table}_lines")
    few = [_Counters(items)] if items**2 <= FEW else []
    all_lines = _Lines(items, 0 if few else KEPT)
    with ThreadPoolExecutor(processors) as threads:
        _add(threads, [all_lines, *few], _read(connection, f"{table}_lines", largest))
        for counters in few:
            keep(*counters.count())
        ranges = iter([] if few else _ranges(all_lines.pairs, max(1, PAIRS // processors)))
        while counters_of_pairs := [_Pairs(all_lines.pairs, *each) for each in islice(ranges, processors)]:
            _add(threads, counters_of_pairs, all_lines.kept or _read(connection, f"{table}_lines", largest))
            for counted in threads.map(_Pairs.count, counters_of_pairs):
                keep(*counted)
    connection.execute(f"DROP TABLE {table}_lines")
    return BasketCounts(all_lines.baskets, all_lines.too_large, all_lines.alone)


def _sort(connection: duckdb.DuckDBPyConnection, lines: str, table: str) -> None:
    """Make `table(name, item)`, where the lines of a basket are together and its items sorted."""
    # Into a table first: sorting the query as it is read was measured slower by two fifths.
    connection.execute(f"CREATE TABLE {table}_unsorted AS SELECT name, item::INTEGER AS item FROM ({lines})")
    # A hash is sorted faster than a name. Should two baskets have the same, their names tell them apart.
    connection.execute(f"CREATE TABLE {table} AS FROM {table}_unsorted ORDER BY hash(name), name, item")
    connection.execute(f"DROP TABLE {table}_unsorted")


def _read(connection: duckdb.DuckDBPyConnection, table: str, largest: int) -> Iterator[_Baskets]:
    """Yield the baskets of a sorted table in parts, without the lines of baskets of more than `largest` items."""
    names, items = pa.array([]), np.empty(0, np.int32)
    with connection.cursor() as cursor:
        for batch in cursor.sql(f"SELECT name, item FROM {table}").to_arrow_reader(LINES):
            names = pa.concat_arrays([names, batch["name"]]) if len(names) else batch["name"]
            items = np.concatenate([items, batch["item"].to_numpy()])
            other = pc.not_equal(names[1:], names[:-1])
            start = np.append(0, np.flatnonzero(other.to_numpy(zero_copy_only=False)) + 1)
            if last := int(start[-1]):
                yield _baskets(items[:last], start[:-1], largest)
            names, items = names[last:], items[last:]
    if len(items):
        yield _baskets(items, np.zeros(1, np.int64), largest)


def _baskets(item: Items, start: Ints, largest: int) -> _Baskets:
    """Return the baskets that begin at `start`, each item once."""
    first = np.zeros(len(item), np.bool_)
    first[start] = True
    fresh = np.append(True, item[1:] != item[:-1]) | first
    item, start = item[fresh], np.flatnonzero(first[fresh])
    sizes = np.diff(np.append(start, len(item)))
    small = sizes <= largest
    item, kept = item[np.repeat(small, sizes)], sizes[small]
    left = np.repeat(np.cumsum(kept), kept) - np.arange(1, len(item) + 1)
    return _Baskets(item, left.astype(np.int32), len(sizes), len(sizes) - len(kept))


def _ranges(pairs: Ints, most: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of items with at most `most` pairs each, or of one item; last items without pairs may be absent."""
    running = np.cumsum(pairs)
    start, before = 0, 0
    while start < len(pairs) and before < running[-1]:
        stop = max(start + 1, int(np.searchsorted(running, before + most, side="right")))
        yield start, stop
        start, before = stop, int(running[stop - 1])


class _Lines:
    """Counts over all lines: those of `BasketCounts`, and the number of pairs of each item."""

    def __init__(self, items: int, keep: int) -> None:
        self.alone, self.pairs = np.zeros(items, np.int64), np.zeros(items, np.int64)
        self.baskets = self.too_large = self.read = 0
        self.keep, self.kept = keep, list[_Baskets]()

    def add(self, some: _Baskets) -> None:
        """Add some whole baskets; they are kept unless all lines are too many."""
        self.baskets += some.count
        self.too_large += some.too_large
        np.add.at(self.alone, some.item, 1)
        np.add.at(self.pairs, some.item, some.left.astype(np.int64))
        self.read += len(some.item)
        if self.read <= self.keep:
            self.kept.append(some)
        else:
            self.kept.clear()


class _Counters:
    """All pairs of few items, with a counter each."""

    def __init__(self, items: int) -> None:
        self.items, self.counters = items, np.zeros(items**2, np.int64)

    def add(self, some: _Baskets) -> None:
        """Add the pairs of some whole baskets."""
        for one, other in some.pairs(np.flatnonzero(some.left)):
            np.add.at(self.counters, one * self.items + other, 1)

    def count(self) -> tuple[Ints, Ints, Ints]:
        """Return lower item, higher item and count of each pair."""
        place = np.flatnonzero(self.counters)
        return place // self.items, place % self.items, self.counters[place]


class _Pairs:
    """The pairs whose lower item is in a range, each as often as there are baskets with it."""

    def __init__(self, pairs: Ints, start: int, stop: int) -> None:
        self.items, self.start, self.stop = len(pairs), start, stop
        self.one, self.other = np.empty((2, int(pairs[start:stop].sum())), np.int32)
        self.filled = 0

    def add(self, some: _Baskets) -> None:
        """Add the pairs of some whole baskets."""
        for one, other in some.pairs(
            np.flatnonzero((some.item >= self.start) & (some.item < self.stop) & (some.left > 0))
        ):
            end = self.filled + len(one)
            self.one[self.filled : end] = one
            self.other[self.filled : end] = other
            self.filled = end

    def count(self) -> tuple[Items, Items, Items]:
        """Return lower item, higher item and count of each pair; nothing can be added afterwards."""
        one, other = self.one, self.other
        del self.one, self.other
        one, other, count = add_up(one, other, np.ones(len(one), np.int32), self.items)
        return one, other, count.astype(np.int32, copy=False)


def add_up(one: Items, other: Items, count: Ints | Items, items: int) -> tuple[Items, Items, Ints | Items]:
    """Return the distinct pairs, sorted, with the sums of their counts; `one` is changed.

    Equal pairs become neighbours without a comparison: as entries of a sparse matrix that is turned from rows to
    columns and back.
    """
    if not len(one):
        return one, other, count
    start, stop = int(one.min()), int(one.max()) + 1
    one -= start
    matrix = coo_array((count, (one, other)), (stop - start, items))
    del one, other, count
    matrix.has_canonical_format = True  # or equal ones would be looked for before they are neighbours
    columns = matrix.tocsc()
    del matrix
    rows = columns.tocsr()
    del columns
    rows.sum_duplicates()
    lower = np.repeat(np.arange(start, stop, dtype=np.int32), np.diff(rows.indptr))
    return lower, rows.indices, rows.data


def _add(
    threads: ThreadPoolExecutor, counters: Sequence[_Lines | _Counters | _Pairs], baskets: Iterable[_Baskets]
) -> None:
    """Add all baskets to each of `counters`; the next baskets are read while some are added."""
    adding: list[Future[None]] = []
    for some in baskets:
        _finish(adding)
        adding = [threads.submit(each.add, some) for each in counters]
    _finish(adding)


def _finish(running: Iterable[Future[None]]) -> None:
    for each in running:
        each.result()


def create_pairs(connection: duckdb.DuckDBPyConnection, table: str, names: pa.Array) -> None:
    """Create an empty table of pairs of names, which are strings or int64."""
    kind = "BIGINT" if pa.types.is_integer(names.type) else "VARCHAR"
    connection.execute(f"CREATE TABLE {table} (source {kind}, target {kind}, count BIGINT)")


def insert_pairs(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    names: pa.Array,
    one: Ints | Items,
    other: Ints | Items,
    count: Ints | Items,
) -> None:
    """Insert pairs by name. Arrow gives them as places in a dictionary, which costs less than two joins."""
    source, target = (pa.DictionaryArray.from_arrays(end, names) for end in (one, other))
    rows = pa.table({"source": source, "target": target, "count": count})
    connection.from_arrow(pa.Table.from_batches(rows.to_batches(INSERTED), rows.schema)).insert_into(table)
