import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from twinvec.catalogue.loaders import find_loader, orders
from twinvec.errors import CatalogueError

LOG = """order_id,product_id,time
1,a,2024-01-01
1,b,2024-01-01T10:00:00+02:00
2,a,1700000000
2,b,1700000000500
"""


def test_a_csv_log_makes_products_and_undirected_pairs(tmp_path: Path, ingest_into: Any) -> None:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    snapshot = ingest_into(path, "orders").snapshot
    assert not snapshot.directed
    assert snapshot.image_root == str(tmp_path)
    with snapshot.connect() as connection:
        products = connection.execute(
            "SELECT product_id, title, category, marketplace FROM products"
        ).fetchall()
        pairs = connection.execute("FROM copurchase").fetchall()
        times = [row[0] for row in connection.execute("SELECT time FROM orders").fetchall()]
    assert products == [("a", None, [], "default"), ("b", None, [], "default")]
    assert pairs == [("a", "b", 2)]
    assert times == [
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 1, 8, tzinfo=UTC),
        datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        datetime(2023, 11, 14, 22, 13, 20, 500000, tzinfo=UTC),
    ]


def test_gzip_delimiter_synonyms_and_parquet_give_the_same_snapshot(tmp_path: Path, ingest_into: Any) -> None:
    plain, zipped, parquet = tmp_path / "a.csv", tmp_path / "b.csv.gz", tmp_path / "c.parquet"
    plain.write_text(LOG)
    zipped.write_bytes(
        gzip.compress(
            LOG.replace(",", ";").replace("order_id;product_id;time", "Basket;Item;Timestamp").encode()
        )
    )
    duckdb.sql(f"COPY (FROM read_csv('{plain}', all_varchar = true)) TO '{parquet}'")
    reports = [ingest_into(path, "orders") for path in (plain, zipped, parquet)]
    assert len({report.snapshot.id for report in reports}) == 1
    assert [report.new for report in reports] == [True, False, False]


def test_other_headers_are_named_in_the_settings(tmp_path: Path, ingest_into: Any) -> None:
    path = tmp_path / "log.csv"
    path.write_text('"Person","item"\n1,"whole milk"\n1,"rolls > buns"\n')
    with pytest.raises(CatalogueError) as raised:
        ingest_into(path, "orders")
    assert "no column 'order_id'; its columns are Person, item" in str(raised.value)
    assert 'order_id = "NAME IN THE FILE"' in raised.value.hint
    snapshot = ingest_into(path, "orders", columns={"order_id": "Person", "category": "item"}).snapshot
    with snapshot.connect() as connection:
        found = connection.execute("SELECT product_id, category FROM products").fetchall()
    assert found == [("rolls > buns", ["rolls", "buns"]), ("whole milk", ["whole milk"])]


def test_two_columns_that_may_be_meant_are_not_guessed_between(tmp_path: Path, ingest_into: Any) -> None:
    path = tmp_path / "log.csv"
    path.write_text("order,basket,product\n1,2,a\n")
    with pytest.raises(CatalogueError, match="several columns for 'order_id'"):
        ingest_into(path, "orders")


def test_a_folder_gives_described_products_and_views(tmp_path: Path, ingest_into: Any) -> None:
    (tmp_path / "orders.csv").write_text(LOG + "3,gone,\n")
    (tmp_path / "views.csv").write_text("session,product\ns,a\ns,b\ns,a\n")
    (tmp_path / "products.tsv").write_text(
        "product_id\ttitle\tlanguage\tcategory\tprice\tmarketplace\timage\n"
        "a\tTaza\tES\tCasa > Tazas\t$1,000.50\tmx\timages/a.png\n"
        "b\tMug\t\t\t\t\t\n"
        "c\tBowl\ten\tHome\ttwelve\t\t\n"
    )
    report = ingest_into(tmp_path, "orders", max_quarantined=0.5)
    assert report.lost["products"] == {"price cannot be read": 1}
    assert report.left_out["orders"] == {"unknown product": 1}
    with report.snapshot.connect() as connection:
        products = connection.execute(
            "SELECT product_id, title, category, price, marketplace, image FROM products"
        ).fetchall()
        assert connection.execute("FROM coview").fetchall() == [("a", "b", 1)]
    assert products == [
        ("a", {"es": "Taza"}, ["Casa", "Tazas"], 1000.5, "mx", "images/a.png"),
        ("b", {"und": "Mug"}, [], None, "default", None),
        ("c", {"en": "Bowl"}, ["Home"], None, "default", None),
    ]


def test_bad_rows_are_quarantined_by_line(tmp_path: Path, ingest_into: Any) -> None:
    good = b"".join(b"%d,p%d,\n" % (n, n % 7) for n in range(10))
    path = tmp_path / "log.csv"
    path.write_bytes(
        b'order_id,product_id,time\n,a,\n1,,\n1,a,yesterday\n1,a\n1,\xff,\n"1"x,a,\n"2","p\n1",\n' + good
    )
    report = ingest_into(path, "orders", max_quarantined=0.5)
    with report.snapshot.connect() as connection:
        found = connection.execute(
            f"SELECT line, reason FROM '{report.snapshot.path}/quarantine.parquet'"
        ).fetchall()
    assert found == [
        (2, "no order_id"),
        (3, "no product_id"),
        (5, "2 fields in place of 3"),
        (6, "not UTF-8"),
        (7, "not CSV"),
    ]
    assert report.snapshot.tables["products"] == 9  # a, p0 … p6, and the one with a line break in its id


def test_a_quote_that_is_never_closed_fails_rather_than_swallow_rows(
    tmp_path: Path, ingest_into: Any
) -> None:
    path = tmp_path / "log.csv"
    path.write_text('order_id,product_id\n1,a\n1,"b\n' + "2,a\n" * 100)
    with pytest.raises(CatalogueError, match="a quote is opened and not closed"):
        ingest_into(path, "orders")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no orders file"),
        ({"orders.csv": LOG, "orders.tsv": LOG}, "several orders files"),
        ({"orders.csv": ""}, "no header: the file is empty"),
        ({"orders.csv": "order_id,product_id\n"}, "no usable product among 0 rows"),
        ({"orders.parquet": "PAR1 but no more"}, "cannot be read as Parquet"),
    ],
)
def test_folders_that_cannot_be_read(
    tmp_path: Path, ingest_into: Any, home: Path, files: dict[str, str], message: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name, content in files.items():
        (source / name).write_text(content)
    with pytest.raises(CatalogueError, match=message):
        ingest_into(source, "orders")
    assert list((home / "snapshots").iterdir()) == []


def test_nested_parquet_columns_belong_to_the_other_format(tmp_path: Path, ingest_into: Any) -> None:
    path = tmp_path / "orders.parquet"
    duckdb.sql(f"COPY (SELECT 1 AS order_id, ['a', 'b'] AS product_id) TO '{path}'")
    with pytest.raises(CatalogueError, match=r"'product_id' of .* is VARCHAR\[\]"):
        ingest_into(path, "orders")


def test_every_column_that_is_read_may_be_given_another_name() -> None:
    read = {
        name
        for table in (orders.ORDERS, orders.PRODUCTS, orders.VIEWS)
        for name in table.required + table.optional
    }
    assert sorted(find_loader("orders").columns) == sorted(read)
