"""Amazon's metadata as people hold it: shapes and keys of all editions, markup, missing words, foreign files."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twinvec.catalogue.loaders import amazon_fields, amazon_rows
from twinvec.errors import CatalogueError

SIZED = {"hi_res": [None, "http://b"], "large": ["http://a", "http://bl"], "variant": ["MAIN", "PT01"]}


def rows(report: Any, query: str) -> list[tuple[Any, ...]]:
    with report.snapshot.connect("200MB") as connection:
        return list(connection.execute(query).fetchall())


def lines(path: Path, *products: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, products)))
    return path


@pytest.mark.parametrize(
    ("value", "image"),
    [
        (SIZED, "http://a"),
        ([{"large": "http://x", "variant": "PT01"}, {"large": "http://y", "variant": "MAIN"}], "http://y"),
        ({"hi_res": "http://one"}, "http://one"),
        (["http://first", "http://second"], "http://first"),
        ("http://alone", "http://alone"),
        ([], None),
        ({"hi_res": [], "large": []}, None),
    ],
)
@pytest.mark.parametrize("key", amazon_fields.IMAGES)
@pytest.mark.parametrize("edition", ["amazon-2014", "amazon-2018", "amazon-2023"])
def test_images_of_every_shape_under_every_key(value: Any, image: str | None, key: str, edition: str) -> None:
    found, reason = amazon_fields.reader(edition)({"asin": "A", "parent_asin": "A", key: value})
    assert (found.product_id, found.image, found.unusable, reason) == ("A", image, [], None)


def test_titles_lose_their_markup_and_scripts() -> None:
    read = amazon_fields.reader("amazon-2018")
    for written, title in {
        '<span class="a">Copper &amp; Tin</span>': "Copper & Tin",
        "Kettle <b>XL</b>&nbsp;Set": "Kettle XL Set",
        "under <10 and >5 inches": "under <10 and >5 inches",
        '<span id="x"></span>': None,
        "<style>.a{b:c}</style>Pot": "Pot",
        "var aPageStart = (new Date()).getTime();": None,
        ".a-box-inner{background-color:#fff}": None,
    }.items():
        found, _ = read({"asin": "A", "title": written})
        assert found.title == title
        assert found.unusable == ([] if title else ["title cannot be read"])


def test_keys_of_other_editions_are_read_and_the_rest_is_named(tmp_path: Path, ingest_into: Any) -> None:
    source = lines(
        tmp_path / "m.json",
        {
            "asin": "A",
            "categories": [["Home", "Pots"]],
            "also_viewed": ["B"],
            "imUrl": "http://a",
            "main_cat": "x",
        },
        {"asin": "B", "category": [["Home"]], "also_bought": ["A"], "image": ["http://b"], "tech1": ""},
    )
    report = ingest_into(source, "amazon-2018")
    assert rows(report, "SELECT product_id, category, image FROM products") == [
        ("A", ["Home", "Pots"], "http://a"),
        ("B", ["Home"], "http://b"),
    ]
    assert rows(report, "FROM copurchase") == [("B", "A", 1)]
    assert rows(report, "FROM coview") == [("A", "B", 1)]
    assert set(report.unread) == {"main_cat", "tech1"}
    assert report.edition in ("amazon-2014", "amazon-2018")
    assert report.fields["products"] == {"title": 0, "category": 2, "price": 0, "brand": 0, "image": 2}
    assert "no product has any title or price; nothing was read from" in report.warnings[0]


@pytest.mark.parametrize("named", ["amazon-2014", "amazon-2018", "amazon-2023"])
def test_another_edition_is_told_from_the_keys(tmp_path: Path, ingest_into: Any, named: str) -> None:
    samples = {
        "amazon-2014": repr({"asin": "A", "imUrl": "u", "salesRank": {"Music": 1}, "related": {}}),
        "amazon-2018": json.dumps({"asin": "A", "also_buy": [], "imageURL": [], "price": None}),
        "amazon-2023": json.dumps({"parent_asin": "A", "main_category": "x", "store": None, "images": []}),
    }
    for edition, line in samples.items():
        path = tmp_path / edition
        path.write_text(line)
        if edition == named:
            assert ingest_into(path, named).edition == edition
            continue
        with pytest.raises(CatalogueError, match=f"looks like {edition}, not {named}") as raised:
            ingest_into(path, named)
        assert raised.value.hint == f"use --format {edition}"


def test_part_files_arrays_and_parquet_are_one_catalogue(tmp_path: Path, ingest_into: Any) -> None:
    products = [
        {
            "parent_asin": f"P{n}",
            "title": f"Mug {n}",
            "categories": ["Kitchen"],
            "price": "9.5",
            "images": SIZED,
        }
        for n in range(7)
    ]
    spark = tmp_path / "spark"
    spark.mkdir()
    (spark / "_SUCCESS").write_text("")
    (spark / ".part-00000.crc").write_bytes(b"\0crc")
    lines(spark / "part-00000.json", *products[:3])
    (spark / "part-00001.json.gz").write_bytes(
        gzip.compress("\n".join(map(json.dumps, products[3:])).encode())
    )
    array = tmp_path / "array.json"
    array.write_text(json.dumps(products, indent=1))
    parquet = tmp_path / "export.parquet"
    pq.write_table(pa.Table.from_pylist(products), parquet)
    found = [ingest_into(source, "amazon-2023") for source in (spark, array, parquet)]
    assert len({report.snapshot.id for report in found}) == 1
    assert rows(found[0], "SELECT count(*), min(image) FROM products WHERE price = 9.5") == [(7, "http://a")]


@pytest.mark.parametrize("kind", [pa.float64(), pa.bool_(), pa.binary()])
def test_ids_of_parquet_that_are_no_ids_are_refused(
    tmp_path: Path, ingest_into: Any, kind: pa.DataType
) -> None:
    examples: dict[str, list[Any]] = {"double": [1.0], "bool": [True]}
    values = examples.get(str(kind), [b"A"])
    pq.write_table(pa.table({"parent_asin": pa.array(values, kind)}), tmp_path / "m.parquet")
    with pytest.raises(CatalogueError, match=r"'parent_asin' of .* which is no id"):
        ingest_into(tmp_path / "m.parquet", "amazon-2023")


def test_missing_is_missing(tmp_path: Path, ingest_into: Any) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(
        '{"parent_asin": "N1", "title": NaN, "price": NaN, "store": "NULL", "categories": [NaN, "None", "A"]}\n'
        '{"parent_asin": "N2", "title": "n/a", "price": Infinity, "bought_together": ["N1", NaN], "images": NaN}\n'
        '{"parent_asin": 12, "title": "ok", "price": "None"}\n{"parent_asin": NaN, "title": "no id"}\n'
        '{"parent_asin": 13.0}\n{"parent_asin": true}\n{"parent_asin": "nan"}\n'
    )
    report = ingest_into(path, "amazon-2023", max_quarantined=0.9)
    assert rows(report, "SELECT product_id, title, category, price, brand FROM products") == [
        ("12", {"en": "ok"}, [], None, None),
        ("N1", None, ["A"], None, None),
        ("N2", None, [], None, None),
    ]
    assert report.quarantined["products"] == {
        "no product_id": 2,
        "product_id is a bool, which is no id": 1,
        "product_id is a float, which is no id": 1,
    }
    assert report.lost["products"] == {}
    kept = ingest_into(path, "amazon-2023", max_quarantined=0.9, missing=[])
    assert rows(kept, "SELECT count(*) FROM products WHERE product_id = 'nan'") == [(1,)]


def test_names_in_literals_are_missing_values(tmp_path: Path, ingest_into: Any) -> None:
    path = tmp_path / "m.json"
    path.write_text(
        "{'asin': 'A', 'price': nan, 'title': 'nan inf'}\n{'asin': 'B', 'price': -inf, 'imUrl': NaT}\n"
    )
    report = ingest_into(path, "amazon-2014")
    assert rows(report, "SELECT product_id, price, image FROM products") == [
        ("A", None, None),
        ("B", None, None),
    ]


def test_literals_are_bounded() -> None:
    digits = "{'asin': 'A', 'price': 0x" + "f" * 3_600 + "}"
    row, _ = amazon_rows.parse(digits, literal=True)
    assert row is not None
    found, _ = amazon_fields.reader("amazon-2014")(row)
    assert (found.price, found.unusable) == (None, ["price cannot be read"])
    for many in ("1," * 1_000_000, "1+" * 1_000_000, "{" * 150_000, "'a' " * 900_000):
        row, reason = amazon_rows.parse("{'asin': [" + many + "1]}", literal=True)
        assert row is None
        assert reason in ("a literal of too many parts", "not a Python literal")
    described = repr({"asin": "A", "description": "it's, [long] " * 300_000})
    assert amazon_rows.parse(described, literal=True)[0] is not None


def test_what_is_too_long_or_deep_is_cut_and_counted(tmp_path: Path, ingest_into: Any) -> None:
    source = lines(
        tmp_path / "m",
        {
            "asin": "A",
            "title": "t" * 9_000,
            "category": [f"level {n}" for n in range(50)],
            "brand": "b" * 900,
        },
        {"asin": "B" * 2_000},
    )
    report = ingest_into(source, "amazon-2018", max_quarantined=0.5)
    sizes = "SELECT length(title['en']), len(category), length(brand) FROM products"
    assert rows(report, sizes) == [(4_000, 32, 500)]
    assert report.lost["products"] == {
        "category cut after 32 levels": 1,
        "title cut after 4,000 characters": 1,
    }
    assert report.quarantined["products"] == {"id of more than 1,000 characters": 1}


def test_exact_copies_are_one_product_and_others_are_not(tmp_path: Path, ingest_into: Any) -> None:
    first = {"asin": "A", "title": "x", "also_buy": ["B"]}
    source = lines(tmp_path / "m", first, {"asin": "B"}, first, first, {**first, "also_buy": ["A"]})
    report = ingest_into(source, "amazon-2018", max_quarantined=0.2)
    assert report.left_out["products"] == {"exact copy of another row": 2}
    assert report.quarantined["products"] == {"duplicated product_id": 1}
    assert rows(report, "FROM copurchase") == [("A", "B", 1)]


def test_names_of_categories_keep_apart_when_they_are_joined(tmp_path: Path, ingest_into: Any) -> None:
    source = lines(
        tmp_path / "m", {"asin": "A", "category": ["A > B", "C"]}, {"asin": "B", "category": ["A", "B > C"]}
    )
    paths = rows(ingest_into(source, "amazon-2018"), "SELECT array_to_string(category, ' > ') FROM products")
    assert len(set(paths)) == 2
    assert {path[0].count(" > ") for path in paths} == {1}


@pytest.mark.parametrize("kind", ["amazon-2018", "orders"])
def test_foreign_files_are_named(tmp_path: Path, ingest_into: Any, kind: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("m.json", "{}")
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "")
        archive.writestr("xl/workbook.xml", "")
    text = "order_id,product_id\n1,a\n"
    (tmp_path / "marked").write_bytes(b"\xff\xfe" + text.encode("utf-16-le"))
    (tmp_path / "unmarked").write_bytes(text.encode("utf-16-be"))
    (tmp_path / "page").write_text("<!DOCTYPE html><html>")
    (tmp_path / "zstd.gz").write_bytes(b"\x28\xb5\x2f\xfd rest")
    for name, told in {
        "a.zip": "a zip archive",
        "a.xlsx": "a workbook of Excel",
        "marked": "UTF-16 text",
        "unmarked": "UTF-16 text",
        "page": "a page of HTML",
        "zstd.gz": "compressed by zstd",
    }.items():
        with pytest.raises(CatalogueError, match=told) as raised:
            ingest_into(tmp_path / name, kind)
        assert raised.value.hint


def test_left_out_and_quarantined_are_told_apart_in_the_file(tmp_path: Path, ingest_into: Any) -> None:
    source = lines(tmp_path / "m", {"asin": "A", "also_buy": ["A", "Z"]}, {"title": "no id"})
    report = ingest_into(source, "amazon-2018", max_quarantined=0.5)
    kept = duckdb.execute(
        f"SELECT outcome, reason FROM '{report.snapshot.path}/quarantine.parquet' ORDER BY ALL"
    )
    assert kept.fetchall() == [
        ("left out", "product paired with itself"),
        ("left out", "unknown product"),
        ("quarantined", "no product_id"),
    ]
