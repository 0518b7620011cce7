"""Order logs as people hold them: returns, times, decimals, ids, headers, part files."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from twinvec.catalogue.loaders.prices import currency_of, price_of
from twinvec.catalogue.loaders.times import time_of
from twinvec.errors import CatalogueError
from twinvec.settings import IngestSettings

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rows(report: Any, query: str) -> list[tuple[Any, ...]]:
    with report.snapshot.connect("200MB") as connection:
        return list(connection.execute(query).fetchall())


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def test_returns_make_no_pairs_and_descriptions_come_from_any_line(tmp_path: Path, ingest_into: Any) -> None:
    log = write(
        tmp_path / "retail.csv",
        "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,State",
        "10,a,,2,2009-12-01 07:45:00,,",
        "10,b,Cup,1,2009-12-01 07:45:00,3.5,paid",
        "11,a,Mug,1,2009-12-02 07:45:00,2.5,paid",
        "11,c,Pot,-1,2009-12-02 07:45:00,9,paid",
        "C12,a,Mug,1,2009-12-03 07:45:00,2.5,",
        "C12,d,Jar,1,2009-12-03 07:45:00,1,",
        "13,b,Cup,1,2009-12-04 07:45:00,3.5,Refunded",
        "13,d,Jar,1,2009-12-04 07:45:00,1,",
        "14,POST,Postage,1,2009-12-04 07:45:00,18,",
        "14,b,Cup,1,2009-12-04 07:45:00,3.5,",
        "14,b,Cup,1,2009-12-04 07:45:00,3.5,",
    )
    report = ingest_into(
        log, "orders", columns={"title": "Description", "status": "State"}, exclude=["POST|DOT"]
    )
    assert rows(report, "FROM copurchase") == [("a", "b", 1)]
    assert rows(report, "SELECT product_id, title['und'], price FROM products") == [
        ("a", "Mug", 2.5),
        ("b", "Cup", 3.5),
        ("c", "Pot", 9.0),
        ("d", "Jar", 1.0),
    ]
    assert report.left_out["orders"] == {
        "cancelled or returned": 4,
        "excluded by ingest.exclude": 1,
        "exact copy of another row": 1,
    }
    assert report.fields["orders"] == {"time": 6}


def test_a_prefix_of_every_order_says_nothing(tmp_path: Path, ingest_into: Any) -> None:
    log = write(tmp_path / "log.csv", "order_id,product_id", "C1,a", "C1,b")
    assert rows(ingest_into(log, "orders"), "FROM copurchase") == [("a", "b", 1)]
    mixed = write(tmp_path / "mixed.csv", "order_id,product_id", "C1,a", "C1,b", "2,a")
    assert rows(ingest_into(mixed, "orders"), "FROM copurchase") == []
    assert rows(ingest_into(mixed, "orders", cancelled_prefix=""), "FROM copurchase") == [("a", "b", 1)]


@settings(max_examples=60, deadline=None)
@given(
    micros=st.integers(int(1e14), int(4e15)),
    unit=st.sampled_from([1, 1_000, 1_000_000]),
)
def test_numbers_since_1970_are_told_apart_by_their_size(micros: int, unit: int) -> None:
    expected = EPOCH + timedelta(microseconds=micros)
    whole = micros // unit
    texts = {str(whole): EPOCH + timedelta(microseconds=whole * unit), f"{micros}000": expected}
    texts |= {f"{micros // 1_000_000}.{micros % 1_000_000:06}": expected}
    with duckdb.connect() as connection:
        for text, moment in texts.items():
            query = f"SELECT epoch_us({time_of('text')}) FROM (SELECT $text AS text)"
            found = connection.execute(query, {"text": text}).fetchall()[0][0]
            assert EPOCH + timedelta(microseconds=found) == moment, text


@pytest.mark.parametrize(
    ("text", "formats", "time"),
    [
        ("978307200", [], "2001-01-01 00:00:00+00"),
        ("2020-05-05 14:08:48 UTC", [], "2020-05-05 14:08:48+00"),
        ("12/1/2010 8:26", [], None),
        ("12/1/2010 8:26", ["%m/%d/%Y %H:%M"], "2010-12-01 08:26:00+00"),
        ("12/1/2010 8:26", ["%d/%m/%Y %H:%M"], "2010-01-12 08:26:00+00"),
        ("20100112", [], None),
        ("20100112", ["%Y%m%d"], "2010-01-12 00:00:00+00"),
        ("-1", [], None),
        ("infinity", ["%Y"], None),
        ("0001-01-01", [], None),
        ("9999-12-31", [], None),
        ("nan", [], None),
        ("1e30", [], None),
    ],
)
def test_times(text: str, formats: list[str], time: str | None) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        query = f"SELECT ({time_of('text', formats)})::VARCHAR FROM (SELECT $text AS text)"
        assert connection.execute(query, {"text": text}).fetchall() == [(time,)]


def test_a_time_that_cannot_be_read_costs_the_time_and_is_named(tmp_path: Path, ingest_into: Any) -> None:
    log = write(tmp_path / "log.csv", "order_id,product_id,time", "1,a,12/1/2010 8:26", "1,b,12/1/2010 8:26")
    report = ingest_into(log, "orders")
    assert rows(report, "SELECT time FROM orders") == [(None,), (None,)]
    assert report.lost["orders"] == {"time cannot be read": 2}
    assert any("12/1/2010 8:26" in each and "ingest.time_formats" in each for each in report.warnings)
    read = ingest_into(log, "orders", time_formats=["%d/%m/%Y %H:%M"])
    assert rows(read, "SELECT DISTINCT epoch(time)::BIGINT FROM orders") == [(1_263_284_760,)]


@settings(max_examples=60, deadline=None)
@given(
    cents=st.integers(0, 10**9), comma=st.booleans(), sign=st.sampled_from(["$", "€", "12", "USD", "Rs.", ""])
)
def test_prices_are_read_by_the_stated_decimal_sign(cents: int, comma: bool, sign: str) -> None:
    number = f"{cents / 100:,.2f}"
    text = number.translate(str.maketrans(",.", ".,")) if comma else number
    sign = "" if sign == "12" else sign
    with duckdb.connect() as connection:
        for written in (
            f"{sign} {text}",
            f"{text} {sign}",
            f"from {sign}{text}",
            f"{sign}{text} – {sign}{text}",
        ):
            query = f"SELECT {price_of('text', ',' if comma else '.')} FROM (SELECT $text AS text)"
            found = connection.execute(query, {"text": written}).fetchall()[0][0]
            assert found == pytest.approx(cents / 100), written


@pytest.mark.parametrize(
    ("text", "price", "currency"),
    [
        ("12.99 USD", 12.99, "USD"),
        ("5 £", 5.0, "GBP"),
        ("US$12.99", 12.99, "USD"),
        ("₹1,00,000", 100_000.0, "INR"),
        ("CHF 1'299.00", 1299.0, "CHF"),
        ("R$ 12.50", 12.5, "BRL"),
        ("12 DKK", 12.0, "DKK"),
        ("S$5", 5.0, "SGD"),
        ("3 rmb", 3.0, "CNY"),
        ("¥1200", 1200.0, None),
        ("(5.00)", -5.0, None),
        ("12 pcs", None, None),
        ("1,2,3", None, None),
        ("9" * 3_600, None, None),
    ],
)
def test_common_forms_of_prices(text: str, price: float | None, currency: str | None) -> None:
    query = f"SELECT {price_of('text')}, {currency_of('text')} FROM (SELECT $text AS text)"
    assert duckdb.execute(query, {"text": text}).fetchall() == [(price, currency)]


@pytest.mark.parametrize(
    ("text", "currency"),
    [("5", "USD"), ("$5", "USD"), (None, "USD"), ("¥1200", None), ("kr 12", None), ("12 BRL", "BRL")],
)
def test_a_plain_price_is_in_dollars_where_the_source_says_so(text: str | None, currency: str | None) -> None:
    query = f"SELECT {currency_of('text', 'USD')} FROM (SELECT $text::VARCHAR AS text)"
    assert duckdb.execute(query, {"text": text}).fetchall() == [(currency,)]


def test_prices_that_look_otherwise_are_a_warning(tmp_path: Path, ingest_into: Any) -> None:
    folder = tmp_path / "shop"
    write(folder / "orders.csv", "order_id;product_id", "1;00123", "1;00124")
    write(folder / "products.csv", "product_id;title;price", "00123;Tasse;1.299", "00124;Kanne;12,50")
    report = ingest_into(folder, "orders")
    assert any("ingest.decimal" in warning for warning in report.warnings)
    assert report.lost["products"] == {"price cannot be read": 1}
    right = ingest_into(folder, "orders", decimal=",")
    assert rows(right, "SELECT product_id, price FROM products") == [("00123", 1299.0), ("00124", 12.5)]
    assert not any("decimal" in warning for warning in right.warnings)
    numbers = pa.table({"product_id": ["00123", "00124"], "price": [1.25, 12.5]})
    (folder / "products.csv").unlink()
    pq.write_table(numbers, folder / "products.parquet")
    assert rows(ingest_into(folder, "orders", decimal=","), "SELECT price FROM products") == [
        (1.25,),
        (12.5,),
    ]


@pytest.mark.parametrize("column", ["order_id", "product_id"])
@pytest.mark.parametrize("values", [[1.0, 2.0], [True, False], [b"1", b"2"], [datetime.now(UTC)] * 2])
def test_ids_that_are_no_ids_are_refused(
    tmp_path: Path, ingest_into: Any, column: str, values: list[Any]
) -> None:
    table = {"order_id": [1, 1], "product_id": ["a", "b"], column: values}
    pq.write_table(pa.table(table), tmp_path / "orders.parquet")
    with pytest.raises(CatalogueError, match=f"column '{column}' of .* which is no id"):
        ingest_into(tmp_path / "orders.parquet", "orders")


@pytest.mark.parametrize(("theirs", "ours"), [("123", "00123"), ("123.0", "123"), ("ab", "AB"), ("x", "y")])
def test_events_that_match_nothing_are_an_error(
    tmp_path: Path, ingest_into: Any, theirs: str, ours: str
) -> None:
    write(tmp_path / "s" / "orders.csv", "order_id,product_id", f"1,{theirs}", f"2,{theirs}")
    write(tmp_path / "s" / "products.csv", "product_id,title", f"{ours},Mug")
    with pytest.raises(CatalogueError, match="none of the 2 rows of orders") as raised:
        ingest_into(tmp_path / "s", "orders")
    assert f"they name '{theirs}', the products are '{ours}'" in raised.value.message
    assert ("they match without" in raised.value.hint) == (theirs != "x")


def test_events_that_mostly_match_nothing_are_a_warning(tmp_path: Path, ingest_into: Any) -> None:
    write(tmp_path / "s" / "orders.csv", "order_id,product_id", "1,a", "1,x", "1,y")
    write(tmp_path / "s" / "products.csv", "product_id,title", "a,Mug")
    assert (
        "2 of 3 rows of orders name products that are not there"
        in ingest_into(tmp_path / "s", "orders").warnings
    )


def test_a_mapped_column_that_no_file_has_is_refused(tmp_path: Path, ingest_into: Any) -> None:
    log = write(tmp_path / "log.csv", "order_id,product_id,aisle_name", "1,a,Fruit")
    with pytest.raises(CatalogueError, match="category is 'aisle', but no file") as raised:
        ingest_into(log, "orders", columns={"category": "aisle"})
    assert "aisle_name" in raised.value.hint
    report = ingest_into(log, "orders")
    assert report.unread == ("aisle_name",)
    assert any("category" in each and '"aisle_name"' in each for each in report.warnings)
    with pytest.raises(ValueError, match="cannot be used"):
        IngestSettings(exclude=["("])


def test_missing_words_are_missing(tmp_path: Path, ingest_into: Any) -> None:
    write(
        tmp_path / "s" / "orders.csv",
        "order_id,product_id,time",
        "1,A,NaT",
        "1,B,null",
        "NaN,nan,",
        "None,NA,",
    )
    write(
        tmp_path / "s" / "products.csv",
        "product_id,title,category,price,image,brand",
        "A,Mug,,,nan,NULL",
        "B,\u00a0nan ,N/A,NaN,None,none",
        "C,Pot,Home > > Pots >,5,,",
    )
    report = ingest_into(tmp_path / "s", "orders")
    assert rows(report, "SELECT product_id, title['und'], category, price, image, brand FROM products") == [
        ("A", "Mug", [], None, None, None),
        ("B", None, [], None, None, None),
        ("C", "Pot", ["Home", "Pots"], 5.0, None, None),
    ]
    assert report.left_out["orders"] == {"row without any id": 2}
    assert not any(report.lost.values())
    assert not any(report.quarantined.values())


def test_lines_may_end_in_cr_alone(tmp_path: Path, ingest_into: Any) -> None:
    path = tmp_path / "mac.csv"
    path.write_bytes(b'order_id,product_id,title\r1,a,"two\nlines"\r1,b,B\r')
    report = ingest_into(path, "orders")
    assert rows(report, "SELECT product_id, title['und'] FROM products") == [("a", "two\nlines"), ("b", "B")]
    packed = tmp_path / "mac.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert ingest_into(packed, "orders").snapshot.id == report.snapshot.id


def test_fields_may_have_megabytes(tmp_path: Path, ingest_into: Any) -> None:
    log = write(tmp_path / "log.csv", "order_id,product_id,note", f'1,a,"{"x" * 3_000_000}"', "1,b,")
    assert rows(ingest_into(log, "orders"), "FROM copurchase") == [("a", "b", 1)]


def test_part_files_are_one_table(tmp_path: Path, ingest_into: Any) -> None:
    whole = write(tmp_path / "log.csv", "order_id,product_id", *(f"{n // 3},p{n % 7}" for n in range(40)))
    spark = tmp_path / "spark" / "orders.csv"
    spark.mkdir(parents=True)
    (spark / "_SUCCESS").write_text("")
    content = whole.read_text().splitlines()
    for number, some in enumerate((content[1:15], content[15:])):
        text = "\n".join([content[0], *some])
        (spark / f"part-{number:05}.csv.gz").write_bytes(gzip.compress(text.encode()))
    parquet = tmp_path / "parquet"
    parquet.mkdir()
    table = duckdb.execute(f"FROM read_csv('{whole}', all_varchar = true)").to_arrow_table()
    assert table is not None
    for number, first in enumerate((0, 11)):
        pq.write_table(table.slice(first, 11 if not first else None), parquet / f"part-{number}.parquet")
    found = {
        ingest_into(source, "orders").snapshot.id for source in (whole, tmp_path / "spark", spark, parquet)
    }
    assert len(found) == 1


def test_a_header_named_twice_is_not_guessed(tmp_path: Path, ingest_into: Any) -> None:
    log = write(tmp_path / "log.csv", "order_id,product_id,product_id", "1,a,b")
    with pytest.raises(CatalogueError, match="several columns for 'product_id'"):
        ingest_into(log, "orders")


def test_a_file_name_that_is_not_utf8_is_named(tmp_path: Path, ingest_into: Any) -> None:
    path = tmp_path / "caf\udce9.csv"
    path.write_text("order_id,product_id\n1,a\n")
    with pytest.raises(CatalogueError, match="is not UTF-8"):
        ingest_into(path, "orders")
