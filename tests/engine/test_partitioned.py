"""Counting in partitions against counting at once: the same rows, on folders and on stores of fsspec."""

from __future__ import annotations

from pathlib import Path

import duckdb
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twinvec.catalogue import partitioned
from twinvec.catalogue.cooccurrence import count_cooccurrence
from twinvec.catalogue.counting import count_pairs
from twinvec.engine import Cluster, in_turn
from twinvec.errors import StoreError

ITEMS, LARGEST = 37, 9


def log(seed: int, lines: int = 3_000) -> pa.Table:
    random = np.random.default_rng(seed)
    # Some baskets are too large, most are small, and lines repeat.
    basket = (random.random(lines) ** 2 * lines / 2).astype(int)
    return pa.table({"name": [f"b{each}" for each in basket], "item": random.integers(0, ITEMS, lines)})


@pytest.mark.parametrize("store", ["folder", "memory://twinvec"])
@pytest.mark.parametrize("partitions", [1, 5])
@pytest.mark.parametrize("named", [True, False], ids=["names", "numbers"])
def test_partitions_count_what_is_counted_at_once(
    tmp_path: Path, store: str, partitions: int, named: bool
) -> None:
    where = str(tmp_path) if store == "folder" else store
    cluster = Cluster(in_turn, where, partitions, "200MB")
    names = pa.array([f"p{item:02}" for item in range(ITEMS)] if named else np.arange(ITEMS))
    with duckdb.connect() as connection:
        connection.register("line", log(partitions))
        query = "SELECT name, item FROM line"
        expected = count_cooccurrence(connection, query, names, "at_once", LARGEST)
        counted = count_pairs(connection, query, names, "in_parts", LARGEST, cluster)
        rows = connection.execute("FROM in_parts").fetchall()
        assert rows == connection.execute("FROM at_once").fetchall()
    assert len(rows) > 100
    assert counted.alone.tolist() == expected.alone.tolist()
    assert (counted.baskets, counted.too_large) == (expected.baskets, expected.too_large)
    assert 0 < counted.too_large < counted.baskets
    filesystem, path = fsspec.core.url_to_fs(where)
    assert not filesystem.find(path), "nothing is left in the store"


def test_files_of_names_are_split_and_counted(tmp_path: Path) -> None:
    lines = log(7)
    table = pa.table(
        {
            "order": [None, *lines["name"].to_pylist()],
            "sku": ["p1", *(f"p{item}" for item in lines["item"].to_pylist())],
        }
    )
    files = []
    for number in range(3):  # Baskets lie across the files.
        files.append(str(tmp_path / f"it's {number}.parquet"))
        pq.write_table(table.take(np.arange(number, len(table), 3)), files[-1])
    cluster = Cluster(in_turn, str(tmp_path / "store"), 4, "200MB")
    names = pa.array(sorted({f"p{item}" for item in range(ITEMS)}))
    with duckdb.connect() as connection, cluster.folder() as folder:
        connection.register("line", table)
        connection.register("names", pa.table({"sku": names, "number": np.arange(ITEMS)}))
        query = 'SELECT "order" AS name, number AS item FROM line JOIN names USING (sku) WHERE "order" IS NOT NULL'
        expected = count_cooccurrence(connection, query, names, "at_once", LARGEST)
        parts = partitioned.split_files(cluster, folder, files, "order", "sku")
        counted = partitioned.count(cluster, folder, parts, LARGEST, None)
        found = f"SELECT * FROM {partitioned.read(counted.files)} WHERE source <> target ORDER BY ALL"
        assert connection.execute(found).fetchall() == connection.execute("FROM at_once").fetchall()
    assert (counted.baskets, counted.too_large) == (expected.baskets, expected.too_large)


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cluster = Cluster(in_turn, str(tmp_path / "file"), 1, "200MB")
    with pytest.raises(StoreError, match=r"ray\.store"), cluster.folder():
        pass
