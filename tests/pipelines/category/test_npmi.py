"""NPMI against counting in plain Python, and against values worked by hand on real baskets."""

from __future__ import annotations

import csv
import math
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.category.npmi import category_expression, npmi_of_baskets, npmi_of_pairs

GROCERIES = Path(__file__).parents[4] / "shared/data/groceries/groceries.csv"


def as_rows(table: pa.Table) -> dict[tuple[str, str], tuple[float, float]]:
    return {(row["a"], row["b"]): (row["together"], row["npmi"]) for row in table.to_pylist()}


def connect(**tables: pa.Table) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name, table in tables.items():
        connection.register(name, table)
    return connection


def connect_baskets(rows: list[tuple[int, str | None]]) -> duckdb.DuckDBPyConnection:
    """Every second line of a category is of a second product of it."""
    products = [f"{category} {line % 2}" for line, (_, category) in enumerate(rows)]
    category_of = dict(zip(products, (category for _, category in rows), strict=True))
    return connect(
        baskets=pa.table(
            {
                "basket": pa.array([basket for basket, _ in rows], pa.int64()),
                "product_id": pa.array(products, pa.string()),
            }
        ),
        category_of=pa.table(
            {
                "product_id": pa.array([*category_of], pa.string()),
                "category": pa.array([*category_of.values()], pa.string()),
            }
        ),
    )


def count_baskets(rows: list[tuple[int, str | None]]) -> tuple[int, Counter[str], Counter[tuple[str, str]]]:
    baskets: dict[int, set[str]] = defaultdict(set)
    for basket, category in rows:
        if category is not None:
            baskets[basket].add(category)
    alone: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    for categories in baskets.values():
        alone.update(categories)
        together.update(combinations(sorted(categories), 2))
    return len(baskets), alone, together


def npmi(together: float, a: float, b: float, total: float) -> float:
    p, pa_, pb = together / total, a / total, b / total
    return (math.log(p) - math.log(pa_) - math.log(pb)) / -math.log(p)


@pytest.fixture(scope="module")
def groceries() -> list[tuple[int, str | None]]:
    if not GROCERIES.exists():
        pytest.skip(f"the real baskets are not here: {GROCERIES}")
    with GROCERIES.open(newline="") as file:
        return [(int(row["Person"]), row["item"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("min_count", [1, 30])
def test_real_baskets_match_a_plain_count(groceries: list[tuple[int, str | None]], min_count: int) -> None:
    total, alone, together = count_baskets(groceries)
    result = npmi_of_baskets(connect_baskets(groceries), min_count)
    found = as_rows(result)
    assert set(found) == {pair for pair, count in together.items() if count >= min_count}
    assert list(found) == sorted(found)
    for (a, b), (count, score) in found.items():
        assert count == together[a, b]
        assert score == pytest.approx(npmi(together[a, b], alone[a], alone[b], total), abs=1e-12)
        assert -1 <= score <= 1


def test_real_baskets_match_values_worked_by_hand(groceries: list[tuple[int, str | None]]) -> None:
    found: dict[tuple[str, str], Any] = as_rows(npmi_of_baskets(connect_baskets(groceries), 1))
    # 9,835 baskets; whole milk in 2,513, other vegetables in 1,903, both in 736:
    #   P(a,b) = .0748348, P(a) P(b) = .2555160 × .1934926 = .0494405,
    #   ln(.0748348 / .0494405) = .4145159, −ln .0748348 = 2.5924733, and the ratio is .1598921.
    assert found["other vegetables", "whole milk"] == (736, pytest.approx(0.159892, abs=1e-5))
    # beef in 516, root vegetables in 1,072, both in 171:
    #   ln(171 × 9835 / (516 × 1072)) = ln 3.0404 = 1.1120, −ln(171 / 9835) = 4.0519, and the ratio is .27443.
    assert found["beef", "root vegetables"] == (171, pytest.approx(0.27443, abs=2e-5))
    # bottled beer in 792, whole milk in 2,513, both in 201: bought together about as chance has it.
    #   ln(201 × 9835 / (792 × 2513)) = ln .99324 = −.0067864, −ln(201 / 9835) = 3.8904, and the ratio is −.0017444.
    assert found["bottled beer", "whole milk"] == (201, pytest.approx(-0.0017444, abs=2e-6))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["a", "b", "c", "d", None])), max_size=40),
    st.integers(1, 3),
)
def test_small_baskets_match_a_plain_count(rows: list[tuple[int, str | None]], min_count: int) -> None:
    total, alone, together = count_baskets(rows)
    found = as_rows(npmi_of_baskets(connect_baskets(rows), min_count))
    # A pair that is in every basket has P(a, b) = 1 and no NPMI: the formula is 0 / 0.
    assert set(found) == {pair for pair, count in together.items() if min_count <= count < total}
    for (a, b), (_, score) in found.items():
        assert score == pytest.approx(npmi(together[a, b], alone[a], alone[b], total), abs=1e-12)
        assert -1 - 1e-12 <= score <= 1 + 1e-12


def test_only_together_is_one_and_independence_is_zero() -> None:
    rows: list[tuple[int, str | None]] = [(0, "x"), (0, "y"), (1, "z"), (2, "z")]
    # p and q in half of four further baskets each, together in a quarter of them.
    independent: list[tuple[int, str | None]] = [(0, "p"), (0, "q"), (1, "p"), (2, "q"), (3, "other")]
    assert as_rows(npmi_of_baskets(connect_baskets(rows), 1))["x", "y"][1] == pytest.approx(1)
    assert as_rows(npmi_of_baskets(connect_baskets(independent), 1))["p", "q"][1] == pytest.approx(0)


CATALOGUE_CATEGORIES: list[list[str]] = [
    ["Home", "Garden", "Tools"],
    ["Home", "Garden", "Plants"],
    ["Home", "Kitchen"],
    ["Home"],
    ["Music", "Vinyl"],
    ["Music", "CDs"],
    [],
]


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("min_count", [1, 7])
def test_pairs_match_a_plain_count(level: int, min_count: int) -> None:
    random = np.random.default_rng(100 + level)
    category = {f"p{i}": CATALOGUE_CATEGORIES[random.integers(len(CATALOGUE_CATEGORIES))] for i in range(41)}
    ids = list(category)
    drawn = {tuple(random.choice(len(ids), 2, replace=False)) for _ in range(170)}
    pairs = [(ids[i], ids[j], int(random.integers(1, 5))) for i, j in drawn]
    name = {key: " > ".join(path[:level] if level else path) for key, path in category.items()}
    together: Counter[tuple[str, str]] = Counter()
    alone: Counter[str] = Counter()
    total = 0
    for source, target, count in pairs:
        a, b = sorted((name[source], name[target]))
        if a and b:
            total += count
            together[a, b] += count
            for one in {a, b}:
                alone[one] += count
    connection = connect(
        products=pa.table(
            {"product_id": ids, "category": pa.array([category[key] for key in ids], pa.list_(pa.string()))}
        ),
        copurchase=pa.table(dict(zip(("source", "target", "count"), zip(*pairs, strict=True), strict=True))),
    )
    found = as_rows(npmi_of_pairs(connection, level, min_count))
    assert set(found) == {
        (a, b) for (a, b), count in together.items() if a != b and count >= min_count and count < total
    }
    assert found, "the catalogue gives no pair to compare"
    for (a, b), (number, score) in found.items():
        assert number == together[a, b]
        assert score == pytest.approx(npmi(number, alone[a], alone[b], total), abs=1e-12)
        assert -1 <= score <= 1


def test_category_is_a_path_of_so_many_levels() -> None:
    table = pa.table({"category": pa.array([["A", "B", "C"], ["A"], []], pa.list_(pa.string()))})
    connection = connect(products=table)
    for level, expected in {
        0: ["A > B > C", "A", None],
        1: ["A", "A", None],
        2: ["A > B", "A", None],
    }.items():
        rows = connection.execute(f"SELECT {category_expression(level)} FROM products").fetchall()
        assert [row[0] for row in rows] == expected
