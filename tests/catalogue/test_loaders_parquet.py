import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twinvec.columns import PAIRS, PRODUCTS
from twinvec.errors import CatalogueError


def products(*ids: str) -> pa.Table:
    rows = [
        {"product_id": name, "title": [("pt", "x"), ("en", "y")], "category": ["Root"], "marketplace": "us"}
        for name in ids
    ]
    return pa.Table.from_pylist(rows, PRODUCTS)


def pairs(*rows: tuple[str, str, int]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(PAIRS.names, row, strict=True)) for row in rows], PAIRS)


def write(folder: Path, description: object = None, **tables: pa.Table) -> Path:
    folder.mkdir(exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    if description is not None:
        (folder / "catalogue.json").write_text(json.dumps(description))
    return folder


def found(snapshot: Any, table: str) -> list[tuple[Any, ...]]:
    with snapshot.connect() as connection:
        return list(connection.execute(f"FROM {table}").fetchall())


def test_counts_of_repeated_pairs_add_up_and_direction_is_kept(tmp_path: Path, ingest_into: Any) -> None:
    source = write(
        tmp_path / "s",
        products=products("b", "a"),
        copurchase=pairs(("b", "a", 2), ("a", "b", 1), ("b", "a", 3)),
    )
    snapshot = ingest_into(source, "parquet").snapshot
    assert snapshot.directed
    assert snapshot.image_root == str(source)
    assert found(snapshot, "copurchase") == [("a", "b", 1), ("b", "a", 5)]
    assert found(snapshot, "products")[0][:2] == ("a", {"en": "y", "pt": "x"})


def test_undirected_pairs_are_one_with_their_reverse(tmp_path: Path, ingest_into: Any) -> None:
    tables = {"products": products("a", "b"), "copurchase": pairs(("b", "a", 2), ("a", "b", 1))}
    undirected = ingest_into(
        write(tmp_path / "s", {"copurchase_directed": False}, **tables), "parquet"
    ).snapshot
    assert not undirected.directed
    assert found(undirected, "copurchase") == [("a", "b", 3)]


def test_pairs_that_are_not_given_are_mined(tmp_path: Path, ingest_into: Any) -> None:
    orders = pa.table({"order_id": [1, 1, 2], "product_id": ["b", "a", "a"]})
    views = pa.table({"session_id": ["s", "s"], "product_id": ["c", "a"]})
    source = write(tmp_path / "s", products=products("a", "b", "c"), orders=orders, views=views)
    snapshot = ingest_into(source, "parquet").snapshot
    assert not snapshot.directed
    assert found(snapshot, "copurchase") == [("a", "b", 1)]
    assert found(snapshot, "coview") == [("a", "c", 1)]
    assert found(snapshot, "orders") == [("1", "a", None), ("1", "b", None), ("2", "a", None)]


def test_rows_that_break_the_contract_are_quarantined(tmp_path: Path, ingest_into: Any) -> None:
    rows = [
        {"product_id": "a", "category": [None, " ", "x"], "marketplace": "us", "price": 1.0},
        {"product_id": None, "category": [], "marketplace": "us"},
        {"product_id": "c", "category": None, "marketplace": "us"},
        {"product_id": "d", "category": [], "marketplace": None},
        {"product_id": "e", "category": [], "marketplace": "us", "price": -0.01},
        {"product_id": "f", "category": [], "marketplace": "us", "price": float("nan")},
        {"product_id": "g", "category": [], "marketplace": "us", "price": float("inf")},
        {"product_id": "a", "category": [], "marketplace": "us"},
        {"product_id": "z", "category": [], "marketplace": "us"},
    ]
    schema = pa.schema([field.with_nullable(True) for field in PRODUCTS])
    listed = pa.table({"source": ["a", None, "a", "a", "a", "e"], "target": ["z", "a", "", "z", "a", "a"]})
    listed = listed.append_column("count", pa.array([1, 1, 1, 0, 1, 1]))
    source = write(tmp_path / "s", products=pa.Table.from_pylist(rows, schema), copurchase=listed)
    report = ingest_into(source, "parquet", max_quarantined=0.9)
    assert report.quarantined == {
        "products": {"no product_id": 1, "no marketplace": 1, "duplicated product_id": 1},
        "copurchase": {"no source": 1, "no target": 1, "count is not positive": 1},
    }
    assert report.left_out["copurchase"] == {"product paired with itself": 1}
    # One bad optional value costs the value, not the row; NaN is a missing one.
    assert report.lost["products"] == {"price is negative": 1, "price is not finite": 1}
    assert [(row[0], row[2], row[3]) for row in found(report.snapshot, "products")] == [
        ("a", ["x"], 1.0),
        *((name, [], None) for name in "cefgz"),
    ]
    assert found(report.snapshot, "copurchase") == [("a", "z", 1), ("e", "a", 1)]
    kept = pq.read_table(report.snapshot.path / "quarantine.parquet").to_pylist()
    assert sorted(row["outcome"] for row in kept) == ["left out"] + 6 * ["quarantined"]
    nowhere = next(row for row in kept if row["reason"] == "no marketplace")
    assert (nowhere["table"], nowhere["line"]) == ("products", 4)
    assert json.loads(nowhere["text"])["product_id"] == "d"


@pytest.mark.parametrize("column", ["product_id", "category", "marketplace"])
def test_a_missing_column_is_named(tmp_path: Path, ingest_into: Any, column: str) -> None:
    source = write(tmp_path / "s", products=products("a").drop_columns([column]))
    with pytest.raises(CatalogueError, match=rf"products\.parquet has no column '{column}'"):
        ingest_into(source, "parquet")


def test_a_column_that_may_be_empty_may_be_missing(tmp_path: Path, ingest_into: Any) -> None:
    source = write(tmp_path / "s", products=products("a").drop_columns(["title", "price", "image"]))
    assert ingest_into(source, "parquet").snapshot.tables["products"] == 1


def test_a_column_of_another_type_is_named(tmp_path: Path, ingest_into: Any) -> None:
    table = products("a").drop_columns(["title"]).append_column("title", pa.array(["plain"]))
    with pytest.raises(
        CatalogueError, match=r"'title' of .* is VARCHAR, which is no MAP\(VARCHAR, VARCHAR\)"
    ):
        ingest_into(write(tmp_path / "s", products=table), "parquet")


@pytest.mark.parametrize("description", [{"copurchase_directed": "yes"}, {"directed": True}, [], 3])
def test_a_description_with_anything_else_is_refused(
    tmp_path: Path, ingest_into: Any, description: object
) -> None:
    tables = {"products": products("a", "b"), "copurchase": pairs(("a", "b", 1))}
    with pytest.raises(CatalogueError, match=r"catalogue\.json holds"):
        ingest_into(write(tmp_path / "s", description, **tables), "parquet")


def test_a_damaged_or_missing_file_is_named(tmp_path: Path, ingest_into: Any) -> None:
    source = write(tmp_path / "s")
    with pytest.raises(CatalogueError, match=r"has no products\.parquet"):
        ingest_into(source, "parquet")
    (source / "products.parquet").write_bytes(b"PAR1 broken")
    with pytest.raises(CatalogueError, match="cannot be read as Parquet"):
        ingest_into(source, "parquet")


def test_a_file_damaged_in_the_middle_fails_and_leaves_nothing(
    tmp_path: Path, ingest_into: Any, home: Path
) -> None:
    source = write(tmp_path / "s", products=products(*(f"p{n}" for n in range(5000))))
    path = source / "products.parquet"
    content = bytearray(path.read_bytes())
    content[200:2000] = bytes(1800)
    path.write_bytes(content)
    with pytest.raises(CatalogueError, match="cannot be ingested"):
        ingest_into(source, "parquet")
    assert list((home / "snapshots").iterdir()) == []
