import itertools
from collections import Counter

import duckdb
import numpy as np
import pytest

from twinvec.catalogue.mining import mine_pairs


@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_those_a_loop_over_baskets_counts(seed: int) -> None:
    random = np.random.default_rng(seed)
    baskets = [random.choice(31, size=random.integers(1, 12)).tolist() for _ in range(157)]
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
        connection.execute("CREATE TABLE events (order_id VARCHAR, product_id VARCHAR)")
        connection.executemany("INSERT INTO events VALUES (?, ?)", rows)
        lines = random.permutation(31) + 2
        connection.execute("CREATE TABLE known (product_id VARCHAR, line BIGINT)")
        connection.executemany(
            "INSERT INTO known VALUES (?, ?)", [(f"p{item}", int(line)) for item, line in enumerate(lines)]
        )
        assert mine_pairs(connection, "events", "order_id", "mined", largest) == too_large > 0
        found = connection.execute("FROM mined").fetchall()
    assert {(source, target): count for source, target, count in found} == expected
    assert len(found) == len(expected)
