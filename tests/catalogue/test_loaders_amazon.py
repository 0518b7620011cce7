import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from twinvec.catalogue.snapshot import Snapshot

PRODUCT = "SELECT product_id, title, category, price, currency, marketplace, brand, image FROM products"


def rows(snapshot: Snapshot, query: str) -> list[tuple[Any, ...]]:
    with snapshot.connect("200MB") as connection:
        return connection.execute(query).fetchall()


def pairs(snapshot: Snapshot, table: str) -> set[tuple[str, str, int]]:
    return set(rows(snapshot, f"FROM {table}"))


def write(path: Path, lines: list[str]) -> Path:
    content = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["meta.json", "meta.json.gz"])
def test_2014_reads_a_literal_a_line(tmp_path: Path, ingest_into: Any, name: str) -> None:
    first = {
        "asin": "A",
        "title": "Rock &amp; Real",
        "price": 9.5,
        "brand": "B & B",
        "imUrl": "http://images/a.jpg",
        "categories": [["Music", "R&amp;B"], ["Other"]],
        "related": {
            "also_bought": ["B", "C", "B", "A", "Z"],
            "bought_together": ["B"],
            "also_viewed": ["C"],
            "buy_after_viewing": ["C", "B"],
        },
    }
    others = [
        {"asin": "B", "related": {"also_bought": ["A"]}},
        {"asin": "C", "price": "free", "categories": []},
    ]
    source = write(tmp_path / name, [repr(row) for row in (first, *others)])
    report = ingest_into(source, "amazon-2014")
    snapshot = report.snapshot
    assert snapshot.directed
    assert rows(snapshot, PRODUCT) == [
        ("A", {"en": "Rock & Real"}, ["Music", "R&B"], 9.5, "USD", "us", "B & B", "http://images/a.jpg"),
        ("B", None, [], None, "USD", "us", None, None),
        ("C", None, [], None, "USD", "us", None, None),
    ]
    assert pairs(snapshot, "copurchase") == {("A", "B", 2), ("A", "C", 1), ("B", "A", 1)}
    assert pairs(snapshot, "coview") == {("A", "C", 2), ("A", "B", 1)}
    assert report.rows == {"products": 3, "copurchase": 6, "coview": 3}
    assert report.left_out["copurchase"] == {"unknown product": 1, "product paired with itself": 1}


def test_2018_reads_json_lines_and_their_junk(tmp_path: Path, ingest_into: Any) -> None:
    lines = [
        {
            "asin": "A",
            "title": "Lamp",
            "category": ["Home", "Lamps", "</span></span></span>"],
            "price": "$1,299.00",
            "brand": "",
            "imageURLHighRes": ["http://large.jpg"],
            "imageURL": ["http://small.jpg"],
            "also_buy": ["B"],
            "also_view": ["B", "X"],
        },
        {
            "asin": "B",
            "title": "var aPageStart = (new Date()).getTime();",
            "category": [],
            "price": ".a-box-inner{background-color:#fff}",
            "imageURL": [],
            "also_buy": {},
        },
    ]
    report = ingest_into(write(tmp_path / "meta.json", [json.dumps(row) for row in lines]), "amazon-2018")
    assert rows(report.snapshot, PRODUCT) == [
        ("A", {"en": "Lamp"}, ["Home", "Lamps"], 1299.0, "USD", "us", None, "http://large.jpg"),
        ("B", None, [], None, "USD", "us", None, None),
    ]
    assert pairs(report.snapshot, "copurchase") == {("A", "B", 1)}
    assert pairs(report.snapshot, "coview") == {("A", "B", 1)}


def test_2023_reads_parents_and_image_lists(tmp_path: Path, ingest_into: Any) -> None:
    lines = [
        {
            "parent_asin": "A",
            "title": "Mug",
            "categories": ["Kitchen"],
            "price": 4.5,
            "store": "Mugs Ltd",
            "images": [{"thumb": "http://t", "large": "http://l", "hi_res": None}, {"thumb": "http://other"}],
            "bought_together": None,
        },
        {"parent_asin": "B", "price": "from 14.99", "images": [], "bought_together": ["A"]},
    ]
    report = ingest_into(write(tmp_path / "meta.jsonl", [json.dumps(row) for row in lines]), "amazon-2023")
    assert rows(report.snapshot, PRODUCT) == [
        ("A", {"en": "Mug"}, ["Kitchen"], 4.5, "USD", "us", "Mugs Ltd", "http://l"),
        ("B", None, [], 14.99, "USD", "us", None, None),
    ]
    assert pairs(report.snapshot, "copurchase") == {("B", "A", 1)}
    assert report.snapshot.tables["coview"] == 0


BAD_LITERALS = {
    "code": ("__import__('os').system('true')", "not a Python literal"),
    "unfinished": ("{'asin': 'X'", "not a Python literal"),
    "nested": ("[" * 100_000, "not a Python literal"),
    "deep": ("-" * 1_000_000 + "1", "a literal of too many parts"),
    "chained": ("+".join(["1"] * 99_000), "not a Python literal"),
    "unhashable": ("{[]: 1}", "not a Python literal"),
    "list": ("['asin']", "not an object"),
    "number": ("17", "not an object"),
    "empty": ("{}", "not an object"),
    "nameless": ("{'title': 'x'}", "no product_id"),
    "odd id": ("{'asin': ['x']}", "no product_id"),
    "a float as id": ("{'asin': 12.0}", "product_id is a float, which is no id"),
    "half a surrogate pair as id": (r"{'asin': 'A\ud800'}", "product_id is not valid Unicode"),
    "again": ("{'asin': 'A', 'related': {'also_bought': ['B']}}", "duplicated product_id"),
}


@pytest.mark.parametrize("name", BAD_LITERALS)
def test_a_bad_line_is_quarantined_with_its_number_and_text(
    tmp_path: Path, ingest_into: Any, name: str
) -> None:
    line, reason = BAD_LITERALS[name]
    source = write(tmp_path / "meta.json", ["{'asin': 'A'}", "{'asin': 'B'}", line])
    report = ingest_into(source, "amazon-2014", max_quarantined=0.5)
    assert report.quarantined["products"] == {reason: 1}
    assert report.snapshot.tables == {"products": 2, "copurchase": 0, "coview": 0}
    quarantine = rows(report.snapshot, f"FROM '{report.snapshot.path}/quarantine.parquet'")
    assert quarantine == [("products", 3, reason, line[:500], "quarantined")]


@pytest.mark.parametrize(
    "line", ["[" * 100_000, '{"asin": ', "{'asin': 'x'}", '{"asin": ' + "1" * 9999 + "}"]
)
def test_a_line_that_is_not_json_is_quarantined(tmp_path: Path, ingest_into: Any, line: str) -> None:
    report = ingest_into(write(tmp_path / "m", ['{"asin": "A"}', line]), "amazon-2018", max_quarantined=0.5)
    assert report.quarantined["products"] == {"not JSON": 1}


def test_half_a_surrogate_pair_does_not_stop_the_ingest(tmp_path: Path, ingest_into: Any) -> None:
    source = write(tmp_path / "meta.json", [r"{'asin': 'A', 'title': 'odd \ud800 title'}"])
    assert rows(ingest_into(source, "amazon-2014").snapshot, "SELECT title FROM products") == [
        ({"en": "odd \ufffd title"},)
    ]
