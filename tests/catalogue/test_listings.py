"""Listings: those a source gives, those that rows of several marketplaces make, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.catalogue.conftest import Ingest
from twinvec import columns
from twinvec.errors import CatalogueError

MULTILOCALE = """product_id,title,language,marketplace,price,currency
B1,Kettle,en,us,20,USD
B1,Hervidor,es,es,18,EUR
B1,ケトル,ja,jp,3000,JPY
B1,Kettle again,en,us,21,USD
B2,Mug,en,us,5,USD
B2,Taza,es,us,5,USD
B3,Cup,en,us,7,USD
"""


def products(*ids: str) -> pa.Table:
    rows = [
        {"product_id": each, "title": {"en": each}, "category": ["A"], "marketplace": "us"} for each in ids
    ]
    return pa.Table.from_pylist(rows, columns.PRODUCTS)


def listing(item: str, product: str, **more: Any) -> dict[str, Any]:
    return {
        "item_id": item,
        "product_id": product,
        "marketplace": "us",
        "language": "en",
        "category": [],
        **more,
    }


def write(folder: Path, rows: list[dict[str, Any]], *ids: str) -> Path:
    folder.mkdir()
    pq.write_table(products(*ids), folder / "products.parquet")
    pq.write_table(pa.Table.from_pylist(rows, columns.LISTINGS), folder / "listings.parquet")
    return folder


def test_a_product_in_several_marketplaces_is_one_product_with_a_listing_in_each(
    tmp_path: Path, ingest_into: Ingest
) -> None:
    source = tmp_path / "shop"
    source.mkdir()
    (source / "products.csv").write_text(MULTILOCALE, encoding="utf-8")
    (source / "orders.csv").write_text("order_id,product_id\n1,B1\n1,B2\n", encoding="utf-8")
    report = ingest_into(source, "orders", max_quarantined=0.5)
    assert report.quarantined["products"] == {"duplicated product_id": 1}
    with report.snapshot.connect() as connection:
        kept = connection.sql(
            "SELECT product_id, title, price, currency, marketplace FROM products"
        ).fetchall()
        rows = connection.sql(
            "SELECT item_id, product_id, family_id, marketplace, language, title, price, currency FROM listings"
        ).fetchall()
    assert kept == [
        ("B1", {"en": "Kettle", "es": "Hervidor", "ja": "ケトル"}, 20.0, "USD", "us"),
        ("B2", {"en": "Mug", "es": "Taza"}, 5.0, "USD", "us"),
        ("B3", {"en": "Cup"}, 7.0, "USD", "us"),
    ]
    assert rows == [
        ("B1@es:es", "B1", "B1", "es", "es", "Hervidor", 18.0, "EUR"),
        ("B1@jp:ja", "B1", "B1", "jp", "ja", "ケトル", 3000.0, "JPY"),
        ("B1@us:en", "B1", "B1", "us", "en", "Kettle", 20.0, "USD"),
        ("B2@us:en", "B2", "B2", "us", "en", "Mug", 5.0, "USD"),
        ("B2@us:es", "B2", "B2", "us", "es", "Taza", 5.0, "USD"),
        ("B3@us:en", "B3", "B3", "us", "en", "Cup", 7.0, "USD"),
    ]


def test_products_of_an_order_log_may_name_their_families(tmp_path: Path, ingest_into: Ingest) -> None:
    source = tmp_path / "shop"
    source.mkdir()
    rows = "product_id,title,family_id\nP1,Red cup,cups\nP2,Blue cup,cups\nP3,Mug,\n"
    (source / "products.csv").write_text(rows, encoding="utf-8")
    (source / "orders.csv").write_text("order_id,product_id\n1,P1\n1,P3\n", encoding="utf-8")
    with ingest_into(source, "orders").snapshot.connect() as connection:
        found = connection.sql("SELECT item_id, product_id, family_id, title FROM listings").fetchall()
    assert found == [
        ("P1@default:und", "P1", "cups", "Red cup"),
        ("P2@default:und", "P2", "cups", "Blue cup"),
        ("P3@default:und", "P3", "P3", "Mug"),
    ]


def test_amazon_2023_names_the_parent_of_variants(tmp_path: Path, ingest_into: Ingest) -> None:
    rows = [
        {"asin": "A1", "parent_asin": "P", "title": "Red cup", "price": 3},
        {"asin": "A2", "parent_asin": "P", "title": "Blue cup", "price": 3},
        {"parent_asin": "Q", "title": "Mug", "price": 4},
    ]
    source = tmp_path / "meta.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with ingest_into(source, "amazon-2023").snapshot.connect() as connection:
        found = connection.sql("SELECT item_id, product_id, family_id FROM listings").fetchall()
    assert found == [("A1@us:en", "A1", "P"), ("A2@us:en", "A2", "P"), ("Q@us:en", "Q", "Q")]


def test_a_snapshot_of_one_marketplace_has_no_table_and_a_view(tmp_path: Path, ingest_into: Ingest) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    table = products("P1", "P2").set_column(
        1, "title", pa.array([{"en": "Cup", "pt": "Copo"}, None], columns.PRODUCTS.field("title").type)
    )
    pq.write_table(table, folder / "products.parquet")
    snapshot = ingest_into(folder, "parquet").snapshot
    assert "listings" not in snapshot.tables
    with snapshot.connect() as connection:
        found = connection.sql("SELECT * FROM listings ORDER BY item_id")
        assert found.columns == columns.LISTINGS.names
        assert [row[:6] for row in found.fetchall()] == [
            ("P1@us:en", "P1", "P1", "us", "en", "Cup"),
            ("P1@us:pt", "P1", "P1", "us", "pt", "Copo"),
            ("P2@us:und", "P2", "P2", "us", "und", None),
        ]


def test_listings_that_break_the_contract_are_kept_apart_with_the_reason(
    tmp_path: Path, ingest_into: Ingest
) -> None:
    rows = [
        listing(
            "a",
            "P1",
            family_id="F",
            title=" Cup ",
            language="EN",
            attributes=[("material", "tin"), ("x", " ")],
        ),
        listing("b", "P1", family_id="F"),
        listing("c", "P1", family_id="G"),
        listing("d", "P1", language="tlh"),
        listing("e", ""),
        listing("f", "gone"),
        listing("a", "P2"),
        listing("g", "P2", price=-1.0),
        listing("h", "P2"),
    ]
    folder = write(tmp_path / "shop", rows, "P1", "P2")
    report = ingest_into(folder, "parquet", max_quarantined=0.6)
    assert report.quarantined["listings"] == {
        "another family than other listings of the product": 1,
        "duplicated item_id": 1,
        "no product_id": 1,
        "unknown language": 1,
    }
    assert report.left_out["listings"] == {"unknown product": 1}
    assert report.lost["listings"] == {"price is negative": 1}
    with report.snapshot.connect() as connection:
        kept = connection.sql(
            "SELECT item_id, family_id, language, title, attributes FROM listings"
        ).fetchall()
    assert kept == [
        ("a", "F", "en", "Cup", {"material": "tin"}),
        ("b", "F", "en", None, {}),
        ("g", "P2", "en", None, {}),
        ("h", "P2", "en", None, {}),
    ]
    refused = duckdb.execute(
        f"SELECT line FROM '{report.snapshot.path}/quarantine.parquet' WHERE outcome = 'quarantined' ORDER BY 1"
    ).fetchall()
    assert refused == [(3,), (4,), (5,), (7,)]
    with pytest.raises(CatalogueError, match="1 of 2 rows of listings break the contract"):
        ingest_into(
            write(tmp_path / "bad", [listing("a", "P1"), listing("a", "P1")], "P1"),
            "parquet",
            max_quarantined=0.4,
        )
