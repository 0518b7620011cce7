"""From pairs to directed edges, the filter and the split, against plain Python."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.graph.edges import (
    direct_edges,
    drop_weak_associations,
    number_products,
    resolve_direction,
    split_edges,
)
from twinvec.errors import CatalogueError

Pair = tuple[str, str, int]
RANKED: tuple[Literal["price", "popularity", "views"], ...] = ("price", "popularity", "views")


@dataclass(frozen=True)
class Catalogue:
    """Products in no particular order, and pairs of them with counts."""

    category: Mapping[str, list[str]]
    price: Mapping[str, float | None]
    pairs: Mapping[str, list[Pair]]

    @property
    def node(self) -> dict[str, int]:
        return {product: place for place, product in enumerate(sorted(self.category))}

    def connect(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect()
        tables = {
            "products": pa.table(
                {
                    "product_id": list(self.category),
                    "category": pa.array(list(self.category.values()), pa.list_(pa.string())),
                    "price": pa.array([self.price[key] for key in self.category], pa.float64()),
                }
            ),
            **{
                name: pa.table(
                    {
                        "source": pa.array([pair[0] for pair in pairs], pa.string()),
                        "target": pa.array([pair[1] for pair in pairs], pa.string()),
                        "count": pa.array([pair[2] for pair in pairs], pa.int64()),
                    }
                )
                for name, pairs in self.pairs.items()
            },
        }
        for name, table in tables.items():
            connection.register(name, table)
        number_products(connection, 1)
        return connection


def random_catalogue(seed: int) -> Catalogue:
    random = np.random.default_rng(seed)
    ids = [f"p{i:02}" for i in random.permutation(37)]
    # `free` is a category without a price; few price levels, so that medians tie.
    names = [["dear", "x"], ["dear", "y"], ["alike"], ["alike too"], ["cheap"], ["free"], []]
    level = {"dear": [9.0, 8.0, 12.5], "alike": [4.0], "alike too": [4.0], "cheap": [1.0, 2.0], "free": []}
    category = {key: names[random.integers(len(names))] for key in ids}

    def price(path: list[str]) -> float | None:
        choice = level[path[0]] if path else [5.0]
        return None if not choice or random.random() < 0.2 else float(random.choice(choice))

    def pairs(count: int) -> list[Pair]:
        drawn = {(ids[i], ids[j]) for i, j in random.integers(0, len(ids), (count, 2))}
        # Some in both orders, whose counts must add up; a product paired with itself is no edge.
        drawn |= {(b, a) for a, b in list(drawn)[::5]}
        return [(a, b, int(random.integers(1, 4))) for a, b in sorted(drawn)]

    return Catalogue(
        category,
        {key: price(path) for key, path in category.items()},
        {"copurchase": pairs(150), "coview": pairs(90)},
    )


def ranks(catalogue: Catalogue, direction: str) -> dict[str, float]:
    if direction == "price":
        prices = defaultdict(list)
        for key, path in catalogue.category.items():
            if path and (price := catalogue.price[key]) is not None:
                prices[path[0]].append(price)
        return {
            key: statistics.median(prices[path[0]])
            for key, path in catalogue.category.items()
            if path and prices[path[0]]
        }
    total: Counter[str] = Counter()
    for source, target, count in catalogue.pairs["copurchase" if direction == "popularity" else "coview"]:
        total[source] += count
        total[target] += count
    # Never bought, or never seen, is known: it is nothing.
    return {key: float(total[key]) for key in catalogue.category}


def naive_edges(
    catalogue: Catalogue, table: str, direction: str, min_count: int
) -> list[tuple[int, int, int]]:
    node = catalogue.node
    if direction == "source":
        return sorted(
            (node[a], node[b], n) for a, b, n in catalogue.pairs[table] if a != b and n >= min_count
        )
    observed: Counter[tuple[str, str]] = Counter()
    for a, b, count in catalogue.pairs[table]:
        if a != b:
            observed[min(a, b), max(a, b)] += count
    rank = ranks(catalogue, direction)
    edges = []
    for (a, b), count in observed.items():
        if count < min_count:
            continue
        unknown = a not in rank or b not in rank
        if unknown or rank[a] >= rank[b]:
            edges.append((node[a], node[b], count))
        if unknown or rank[b] >= rank[a]:
            edges.append((node[b], node[a], count))
    return sorted(edges)


def edges_of(
    connection: duckdb.DuckDBPyConnection, columns: str = "source, target, count"
) -> list[tuple[int, ...]]:
    return connection.execute(f"SELECT {columns} FROM edges ORDER BY ALL").fetchall()


@pytest.mark.parametrize("min_count", [1, 3])
@pytest.mark.parametrize("direction", [*RANKED, "source"])
@pytest.mark.parametrize("table", ["copurchase", "coview"])
def test_edges_match_plain_python(
    table: str, direction: Literal["source", "price", "popularity", "views"], min_count: int
) -> None:
    for seed in range(4):
        catalogue = random_catalogue(seed)
        connection = catalogue.connect()
        direct_edges(connection, table, "edges", direction, min_count)
        expected = naive_edges(catalogue, table, direction, min_count)
        assert edges_of(connection) == expected
        assert expected
        # Edges share a number exactly if they come from one observation.
        numbers = connection.execute("SELECT source, target, pair FROM edges").fetchall()
        ends: Callable[[int, int], tuple[int, int]] = (
            (lambda a, b: (a, b)) if direction == "source" else (lambda a, b: (min(a, b), max(a, b)))
        )
        by_number = defaultdict(set)
        for source, target, number in numbers:
            by_number[number].add(ends(source, target))
        assert all(len(same) == 1 for same in by_number.values())
        assert len(by_number) == len({ends(source, target) for source, target, _ in numbers})


def small(price: Sequence[float | None], category: Sequence[list[str]], pairs: list[Pair]) -> Catalogue:
    ids = [f"p{i}" for i in range(len(price))]
    return Catalogue(
        dict(zip(ids, category, strict=True)),
        dict(zip(ids, price, strict=True)),
        {"copurchase": pairs, "coview": []},
    )


@pytest.mark.parametrize(
    ("price", "category", "expected"),
    [
        # From the dear category to the cheap one, whatever the order in the log.
        ([1.0, 9.0], [["cheap"], ["dear"]], [(1, 0, 5)]),
        # The median of the category counts, not the product's own price.
        ([9.0, 1.0, 1.0, 1.0, 8.0], [["cheap"], ["dear"], ["cheap"], ["cheap"], ["dear"]], [(1, 0, 5)]),
        ([3.0, 3.0], [["a"], ["b"]], [(0, 1, 5), (1, 0, 5)]),
        ([3.0, 7.0], [["a"], ["a"]], [(0, 1, 5), (1, 0, 5)]),
        ([3.0, None], [["a"], ["b"]], [(0, 1, 5), (1, 0, 5)]),
        ([3.0, 7.0], [["a"], []], [(0, 1, 5), (1, 0, 5)]),
    ],
    ids=["dear to cheap", "median", "tie", "one category", "no price", "no category"],
)
def test_direction_by_price(
    price: list[float | None], category: list[list[str]], expected: list[tuple[int, int, int]]
) -> None:
    connection = small(price, category, [("p0", "p1", 2), ("p1", "p0", 3)]).connect()
    direct_edges(connection, "copurchase", "edges", "price", 1)
    assert edges_of(connection) == expected


def test_the_sources_own_direction_is_kept() -> None:
    pairs = [("p0", "p1", 2), ("p1", "p0", 3), ("p2", "p0", 1), ("p1", "p1", 9)]
    connection = small([1.0, 2.0, 3.0], [["a"], ["b"], ["c"]], pairs).connect()
    direct_edges(connection, "copurchase", "edges", "source", 1)
    assert edges_of(connection) == [(0, 1, 2), (1, 0, 3), (2, 0, 1)]


def test_what_auto_means() -> None:
    assert resolve_direction("auto", directed=True) == "source"
    assert resolve_direction("auto", directed=False) == "price"
    assert resolve_direction("views", directed=True) == "views"
    with pytest.raises(CatalogueError, match="direction"):
        resolve_direction("source", directed=False)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threshold", [0.2, -0.4])
def test_weak_associations_are_dropped_as_in_plain_python(seed: int, threshold: float) -> None:
    catalogue = random_catalogue(seed)
    connection = catalogue.connect()
    direct_edges(connection, "copurchase", "edges", "price", 1)
    before = edges_of(connection, "source, target, count, pair")
    random = np.random.default_rng(seed)
    names = sorted({path[0] for path in catalogue.category.values() if path})
    # Pairs in either order; one is not there at all, one is there without a value.
    scores: dict[tuple[str, str], float | None] = {}
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            scores[(a, b) if random.random() < 0.5 else (b, a)] = float(random.uniform(-1, 1))
    scores[next(iter(scores))] = None
    scores.popitem()
    table = pa.table(
        {
            "a": [a for a, _ in scores],
            "b": [b for _, b in scores],
            "association": pa.array(scores.values(), pa.float64()),
        }
    )
    reported = drop_weak_associations(connection, "edges", table, threshold, drop=False)
    assert edges_of(connection, "source, target, count, pair") == before
    report = drop_weak_associations(connection, "edges", table, threshold)
    assert report.equals(reported)

    of = {place: next(iter(catalogue.category[key] or []), None) for key, place in catalogue.node.items()}

    def association(source: int, target: int) -> float | None:
        a, b = of[source], of[target]
        if a is None or b is None:
            return None
        return 1.0 if a == b else scores.get((a, b), scores.get((b, a)))

    def weak(source: int, target: int) -> bool:
        score = association(source, target)
        return score is not None and score < threshold

    assert edges_of(connection, "source, target, count, pair") == [e for e in before if not weak(e[0], e[1])]
    counts = Counter((of[source], of[target]) for source, target, *_ in before)
    sample = {(of[source], of[target]): (source, target) for source, target, *_ in before}
    rows = report.to_pylist()
    assert {(r["source_category"], r["target_category"]): r["edges"] for r in rows} == counts
    assert [r["edges"] for r in rows] == sorted(counts.values(), reverse=True)
    for row in rows:
        ends = sample[row["source_category"], row["target_category"]]
        assert row["weak"] == weak(*ends)
        assert row["association"] == association(*ends)
    dropped = sum(row["edges"] for row in rows if row["weak"])
    assert 0 < dropped == len(before) - len(edges_of(connection))


def test_an_association_at_the_threshold_is_kept() -> None:
    connection = small([1.0, 2.0], [["a"], ["b"]], [("p0", "p1", 1)]).connect()
    direct_edges(connection, "copurchase", "edges", "source", 1)
    table = pa.table({"a": ["a"], "b": ["b"], "association": [0.2]})
    report = drop_weak_associations(connection, "edges", table, 0.2)
    assert report["weak"].to_pylist() == [False]
    assert edges_of(connection) == [(0, 1, 1)]


def observations(count: int, order: np.random.Generator | None = None) -> duckdb.DuckDBPyConnection:
    """Every third observation is an edge in both directions."""
    rows = [(n, n + 1, 1, n) for n in range(count)] + [(n + 1, n, 1, n) for n in range(0, count, 3)]
    if order is not None:
        rows = [rows[place] for place in order.permutation(len(rows))]
    connection = duckdb.connect()
    columns = zip(("source", "target", "count", "pair"), zip(*rows, strict=True), strict=True)
    connection.register("given", pa.table(dict(columns)))
    connection.execute("CREATE TABLE edges AS FROM given")
    return connection


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 250), st.integers(0, 2**31 - 1))
def test_split_shares(count: int, seed: int) -> None:
    connection = observations(count)
    split_edges(connection, "edges", validation=0.1, test=0.2, seed=seed)
    rows = connection.execute("SELECT least(source, target), split FROM edges").fetchall()
    assert len(rows) == count + len(range(0, count, 3))
    side: dict[int, int] = {}
    for number, split in rows:
        assert side.setdefault(number, split) == split, "two directions of one observation on two sides"
    found = Counter(side.values())
    for split, share in ((0, 0.7), (1, 0.1), (2, 0.2)):
        assert abs(found[split] - share * count) <= 1


def test_edges_between_the_same_products_can_be_kept_together() -> None:
    connection = duckdb.connect()
    # Each direction was observed by itself.
    connection.execute(
        """
        CREATE TABLE edges AS
        SELECT source, target, 1 AS count, row_number() OVER () AS pair
        FROM (SELECT i AS source, i + 1000 AS target FROM range(400) t(i)
              UNION ALL SELECT i + 1000, i FROM range(300) t(i))
        """
    )
    split_edges(connection, "edges", validation=0.1, test=0.2, seed=3, by_ends=True)
    side: dict[int, int] = {}
    for number, chosen in connection.execute("SELECT least(source, target), split FROM edges").fetchall():
        assert side.setdefault(number, chosen) == chosen
    found = Counter(side.values())
    assert all(abs(found[number] - share * 400) <= 1 for number, share in ((0, 0.7), (1, 0.1), (2, 0.2)))
    connection.execute("CREATE OR REPLACE TABLE edges AS SELECT *, row_number() OVER () AS pair FROM edges")
    split_edges(connection, "edges", validation=0.1, test=0.2, seed=3)
    apart = connection.execute(
        "SELECT count(*) FROM edges e JOIN edges r ON e.source = r.target AND e.target = r.source "
        "WHERE e.split <> r.split"
    ).fetchone()
    assert apart is not None
    assert apart[0] > 0, "without it they need not be"


def split(connection: duckdb.DuckDBPyConnection, seed: int, side: int = 2) -> set[tuple[int, ...]]:
    split_edges(connection, "edges", 0.1, 0.2, seed)
    return set(connection.execute("SELECT source, target FROM edges WHERE split = ?", [side]).fetchall())


def test_split_depends_on_the_seed_alone() -> None:
    first = split(observations(500), 7)
    assert split(observations(500), 7) == first
    assert split(observations(500, order=np.random.default_rng(1)), 7) == first


def test_splits_of_two_seeds_are_independent() -> None:
    # A fifth of one test set is in another by chance: 2,000 × .2 × .2 = 80 observations, with a deviation of 7.
    held_out = [{min(edge) for edge in split(observations(2000), seed)} for seed in range(12)]
    for place, one in enumerate(held_out):
        for other in held_out[:place]:
            assert 45 < len(one & other) < 115


def test_split_without_held_out_edges() -> None:
    connection = observations(50)
    split_edges(connection, "edges", validation=0.0, test=0.0, seed=1)
    assert connection.execute("SELECT DISTINCT split FROM edges").fetchall() == [(0,)]
