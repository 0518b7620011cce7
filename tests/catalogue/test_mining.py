import itertools
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from twinvec.catalogue import cooccurrence
from twinvec.catalogue.mining import mine_pairs


@pytest.mark.parametrize(
    ("few", "lines", "kept", "pairs"),
    [
        (cooccurrence.FEW, cooccurrence.LINES, cooccurrence.KEPT, cooccurrence.PAIRS),
        (cooccurrence.FEW, 7, 0, 1),
        (0, cooccurrence.LINES, cooccurrence.KEPT, cooccurrence.PAIRS),
        (0, 7, 0, 40),
        (0, 64, 1_000, 1),
    ],
    ids=["counters", "counters in parts", "at once", "in parts", "an item at a time"],
)
def test_pairs_are_those_a_loop_over_baskets_counts(
    few: int, lines: int, kept: int, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"FEW": few, "LINES": lines, "KEPT": kept, "PAIRS": pairs}.items():
        monkeypatch.setattr(cooccurrence, name, value)
    seed = lines + pairs
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
    assert found == sorted(found)


def test_what_is_counted_beside_the_pairs_is_what_a_loop_counts() -> None:
    random = np.random.default_rng(5)
    baskets = [set(random.choice(9, size=random.integers(1, 7)).tolist()) for _ in range(200)]
    largest = 3
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE line (name VARCHAR, item BIGINT)")
        rows = [(f"b{n}", item) for n, basket in enumerate(baskets) for item in [*basket, *basket]]
        connection.executemany("INSERT INTO line VALUES (?, ?)", rows)
        names = pa.array([f"item {item}" for item in range(9)])
        counted = cooccurrence.count_cooccurrence(
            connection, "SELECT name, item FROM line", names, "counted", largest
        )
    alone = Counter(item for basket in baskets if len(basket) <= largest for item in basket)
    assert counted.alone.tolist() == [alone[item] for item in range(9)]
    assert (counted.baskets, counted.too_large) == (200, sum(len(basket) > largest for basket in baskets))


def test_what_does_not_fit_into_memory_goes_to_disk(tmp_path: Path) -> None:
    events = """
        SELECT 'a basket with a long name ' || hash(range) % 80_000 AS order_id, 'p' || hash(-range) % 500 AS product_id
        FROM range(300_000)"""
    products = "CREATE TABLE known AS SELECT 'p' || range AS product_id, range AS line FROM range(500)"

    def mined(memory: str, disk: Path | None) -> list[tuple[str, str, int]]:
        folder = "" if disk is None else str(disk)
        with duckdb.connect(
            config={"memory_limit": memory, "temp_directory": folder, "threads": 2}
        ) as connection:
            connection.execute(products)
            connection.execute(f"CREATE VIEW events AS {events}")
            mine_pairs(connection, "events", "order_id", "mined", 50)
            return connection.execute("FROM mined").fetchall()

    with pytest.raises(duckdb.OutOfMemoryException):
        mined("32MB", None)
    found = mined("32MB", tmp_path)
    with duckdb.connect() as connection:
        assert (
            found
            == connection.execute(
                f"""WITH line AS (SELECT DISTINCT * FROM ({events}))
                SELECT a.product_id, b.product_id, count(*)
                FROM line a JOIN line b ON a.order_id = b.order_id AND a.product_id < b.product_id
                GROUP BY ALL ORDER BY ALL"""
            ).fetchall()
        )


def test_no_events_make_no_pairs() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE events (order_id VARCHAR, product_id VARCHAR)")
        connection.execute("CREATE TABLE known (product_id VARCHAR, line BIGINT)")
        assert mine_pairs(connection, "events", "order_id", "mined", 5) == 0
        assert connection.execute("FROM mined").fetchall() == []
