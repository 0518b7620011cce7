import itertools
from collections import Counter

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from twinvec.catalogue import together
from twinvec.catalogue.mining import mine_pairs


@pytest.mark.parametrize(
    ("seed", "lines", "pairs"),
    [(0, together.LINES, together.PAIRS), (1, 7, 40), (2, 64, 1), (3, 64, together.PAIRS)],
    ids=["at once", "in parts", "an item at a time", "by sorting"],
)
def test_pairs_are_those_a_loop_over_baskets_counts(
    seed: int, lines: int, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "LINES", lines)
    monkeypatch.setattr(together, "PAIRS", pairs)
    monkeypatch.setattr(together, "FEW", together.FEW if seed % 2 == 0 else 0)
    random = np.random.default_rng(seed)
    baskets = [random.choice(31, size=random.integers(1, 12)).tolist() for _ in range(1_000)]
    largest = 6
    expected: Counter[tuple[str, str]] = Counter()
    too_large = 0
    for basket in baskets:
        distinct = sorted({f"p{item}" for item in basket})
        too_large += len(distinct) > largest
        if len(distinct) <= largest:
            expected.update(itertools.combinations(distinct, 2))
    rows = [(f"order {n}", f"p{item}") for n, basket in enumerate(baskets) for item in basket]
    with duckdb.connect() as connection:
        events = pa.table(dict(zip(("order_id", "product_id"), zip(*rows, strict=True), strict=True)))
        connection.register("events", events)
        places = random.permutation(31) + 2
        connection.execute("CREATE TABLE known (product_id VARCHAR, line BIGINT)")
        connection.executemany(
            "INSERT INTO known VALUES (?, ?)", [(f"p{item}", int(line)) for item, line in enumerate(places)]
        )
        assert mine_pairs(connection, "events", "order_id", "mined", largest) == too_large > 0
        found = connection.execute("FROM mined").fetchall()
    assert {(source, target): count for source, target, count in found} == expected
    assert len(found) == len(expected)


def test_what_is_counted_beside_the_pairs_is_what_a_loop_counts() -> None:
    random = np.random.default_rng(5)
    baskets = [set(random.choice(9, size=random.integers(1, 7)).tolist()) for _ in range(200)]
    largest = 3
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE line (name VARCHAR, item BIGINT)")
        rows = [(f"b{n}", item) for n, basket in enumerate(baskets) for item in [*basket, *basket]]
        connection.executemany("INSERT INTO line VALUES (?, ?)", rows)
        counted = together.count_together(connection, "SELECT name, item FROM line", 9, "counted", largest)
    alone = Counter(item for basket in baskets if len(basket) <= largest for item in basket)
    assert counted.alone.tolist() == [alone[item] for item in range(9)]
    assert (counted.baskets, counted.too_large) == (200, sum(len(basket) > largest for basket in baskets))


def test_no_events_make_no_pairs() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE events (order_id VARCHAR, product_id VARCHAR)")
        connection.execute("CREATE TABLE known (product_id VARCHAR, line BIGINT)")
        assert mine_pairs(connection, "events", "order_id", "mined", 5) == 0
        assert connection.execute("FROM mined").fetchall() == []
