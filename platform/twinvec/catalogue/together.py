"""How often items share a basket, counted in sorted baskets: no basket is joined with itself.

A basket of n items has n(n−1)/2 pairs; a self-join makes and throws away twice as many, and groups them by hash. Here
the lines are sorted once, the pairs of all baskets are written out a distance at a time (each item with the next, with
the one after, …), and equal pairs become neighbours in one sort of integers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, repeat

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]

LINES = 2**21
"""Lines of baskets that are looked at at once."""
PAIRS = 2**24
"""Pairs that are sorted at once, by all threads: 128 MiB, and twice that while equal ones are counted."""
FEW = 2**22
"""Pairs that could be, such as those of categories, up to which each has a counter and nothing is sorted."""
THREADS = len(os.sched_getaffinity(0))
HALF = 32
LOWER = 2**HALF - 1


@dataclass(frozen=True)
class Together:
    """What was counted beside the pairs.

    Attributes:
        baskets: how many there are, of any size.
        too_large: baskets that made no pairs.
        alone: baskets that hold each item, of those that are not too large, int64 [items].
    """

    baskets: int
    too_large: int
    alone: Ints


def count_together(
    connection: duckdb.DuckDBPyConnection, lines: str, items: int, table: str, largest: int
) -> Together:
    """Make `table(one UINTEGER, other UINTEGER, count BIGINT)` of the pairs of items that share baskets.

    Each pair is there once, the lower item first, and the table is sorted by it. A basket counts once, however often
    it holds an item.

    Lines are numbered and sorted by DuckDB, within its memory limit and beyond it on disk. Beside that, memory is that
    of `LINES` lines, of `PAIRS` pairs (more if items alone have more as the lower of the two), and of a few
    numbers an item. If there are more pairs than that, the lines are read again for every further `PAIRS` of them.

    Args:
        connection: where the table is made.
        lines: a query that gives `name`, of a basket, and `item`, a number from 0 up to `items`; it is run twice.
        items: how many items there are, under 2³².
        table: name of the table.
        largest: distinct items of the largest basket that makes pairs.
    """
    _number(connection, lines, f"{table}_lines")
    baskets = too_large = 0
    alone, pairs = np.zeros(items, np.int64), np.zeros(items, np.int64)
    for item, left, size in _read(connection, f"{table}_lines"):
        begins = np.flatnonzero(left + 1 == size)
        baskets += len(begins)
        too_large += int(np.count_nonzero(size[begins] > largest))
        kept = size <= largest
        np.add.at(alone, item[kept], 1)
        np.add.at(pairs, item[kept], left[kept])
    connection.execute(f"CREATE TABLE {table} (one UINTEGER, other UINTEGER, count BIGINT)")
    ranges = iter(_ranges(pairs, max(1, PAIRS // THREADS)))
    with ThreadPoolExecutor(THREADS) as threads:
        while wanted := [_Pairs(pairs, *each) for each in islice(ranges, THREADS)]:
            for item, left, size in _read(connection, f"{table}_lines"):
                first = (size <= largest) & (left > 0)
                list(threads.map(_Pairs.add, wanted, repeat(item), repeat(left), repeat(first)))
            for counted in threads.map(_Pairs.count, wanted):
                connection.from_arrow(counted).insert_into(table)
    connection.execute(f"DROP TABLE {table}_lines")
    return Together(baskets, too_large, alone)


def _number(connection: duckdb.DuckDBPyConnection, lines: str, table: str) -> None:
    """Make `table(line)` of numbers that hold a basket in their upper half and an item in the lower, sorted."""
    connection.execute(
        f"""CREATE TABLE {table} AS
            WITH numbered AS (SELECT name, row_number() OVER () AS basket FROM (SELECT DISTINCT name FROM ({lines})))
            SELECT basket << {HALF} | item::UINTEGER AS line FROM ({lines}) JOIN numbered USING (name) ORDER BY line"""
    )


def _read(connection: duckdb.DuckDBPyConnection, table: str) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Whole baskets, some at a time: item, distinct items after it in its basket, and of its basket, [lines] each."""
    rest = np.empty(0, np.int64)
    with connection.cursor() as cursor:
        for batch in cursor.sql(f"SELECT line FROM {table}").to_arrow_reader(LINES):
            held = np.concatenate([rest, batch["line"].to_numpy()])
            last = int(np.searchsorted(held, held[-1] >> HALF << HALF))
            if last:
                yield _placed(held[:last])
            rest = held[last:]
    if len(rest):
        yield _placed(rest)


def _placed(lines: Ints) -> tuple[Ints, Ints, Ints]:
    lines = lines[np.append(True, lines[1:] != lines[:-1])]
    basket = lines >> HALF
    start = np.flatnonzero(np.append(True, basket[1:] != basket[:-1]))
    sizes = np.diff(np.append(start, len(lines)))
    left = np.repeat(start + sizes, sizes) - np.arange(1, len(lines) + 1)
    return lines & LOWER, left, np.repeat(sizes, sizes)


def _ranges(pairs: Ints, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of items with at most `most` pairs each, or of one item; last items without pairs may be left out."""
    running = np.cumsum(pairs)
    start, before = 0, 0
    while start < len(pairs) and before < running[-1]:
        stop = max(start + 1, int(np.searchsorted(running, before + most, side="right")))
        yield start, stop
        start, before = stop, int(running[stop - 1])


class _Pairs:
    """The pairs whose lower item is in a range, each as often as there are baskets with it."""

    def __init__(self, pairs: Ints, start: int, stop: int) -> None:
        self.pairs, self.start, self.stop = pairs, start, stop
        self.keys = np.empty(int(pairs[start:stop].sum()), np.int64)
        self.filled = 0

    def add(self, item: Ints, left: Ints, first: NDArray[np.bool_]) -> None:
        """Add the pairs of some whole baskets; `first` tells which lines are the lower of a pair at all."""
        place = np.flatnonzero(first & (item >= self.start) & (item < self.stop))
        distance = 1
        while len(place):
            end = self.filled + len(place)
            self.keys[self.filled : end] = item[place] << HALF | item[place + distance]
            self.filled = end
            distance += 1
            place = place[left[place] >= distance]

    def count(self) -> pa.Table:
        """How often each pair was added, by one and other; nothing can be added after it."""
        items = len(self.pairs)
        if items**2 <= FEW:
            found = np.bincount((self.keys >> HALF) * items + (self.keys & LOWER))
            place = np.flatnonzero(found)
            one, other, count = place // items, place % items, found[place]
        else:
            self.keys.sort()
            start = np.flatnonzero(np.append(len(self.keys) > 0, self.keys[1:] != self.keys[:-1]))
            distinct = self.keys[start]
            one, other, count = distinct >> HALF, distinct & LOWER, np.diff(np.append(start, len(self.keys)))
        return pa.table({"one": one.astype(np.uint32), "other": other.astype(np.uint32), "count": count})
