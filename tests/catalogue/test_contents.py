from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twinvec.catalogue.contents import digest_of
from twinvec.columns import ORDERS, PRODUCTS


def product(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "product_id": f"p{number:05}",
        "title": [("en", f"title {number}"), ("es", "título")] if number % 3 else None,
        "category": ["a", "b" * (number % 4)][: number % 3],
        "price": number / 7 if number % 5 else None,
        "marketplace": "us",
        "image": f"{number}.png" if number % 2 else None,
    }
    return row | changes


def digest(folder: Path, rows: list[dict[str, Any]], directed: bool = True, **options: Any) -> str:
    path = folder / "products.parquet"
    pq.write_table(pa.Table.from_pylist(rows, PRODUCTS), path, **options)
    return digest_of({"products": path}, directed)


ROWS = [product(number) for number in range(200)]


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "gzip"},
        {"row_group_size": 7},
        {"use_dictionary": False, "data_page_size": 100},
    ],
)
def test_encoding_does_not_matter(tmp_path: Path, options: dict[str, Any]) -> None:
    assert digest(tmp_path, ROWS, **options) == digest(tmp_path, ROWS)


def test_batches_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = digest(tmp_path, ROWS)
    monkeypatch.setattr("twinvec.catalogue.contents.BATCH_ROWS", 13)
    assert digest(tmp_path, ROWS) == whole


@pytest.mark.parametrize(
    "change",
    [
        {"product_id": "p00101x"},
        {"title": [("en", "title 101"), ("es", "titulo")]},
        {"title": [("en", "title 101")]},
        {"title": [("en", "title 101"), ("fr", "título")]},
        {"title": []},
        {"title": None},
        {"category": []},
        {"category": ["ab"]},
        {"category": ["a", "b", ""]},
        {"price": None},
        {"price": 0.0},
        {"image": ""},
        {"image": None},
    ],
)
def test_every_value_matters(tmp_path: Path, change: dict[str, Any]) -> None:
    changed = [*ROWS[:101], product(101, **change), *ROWS[102:]]
    assert digest(tmp_path, changed) != digest(tmp_path, ROWS)


def test_where_one_value_ends_and_the_next_begins_matters(tmp_path: Path) -> None:
    one = [product(1, brand="ab"), product(2, brand="c")]
    other = [product(1, brand="a"), product(2, brand="bc")]
    assert digest(tmp_path, one) != digest(tmp_path, other)


def test_negative_zero_is_zero(tmp_path: Path) -> None:
    assert digest(tmp_path, [product(1, price=-0.0)]) == digest(tmp_path, [product(1, price=0.0)])


def test_direction_and_the_tables_there_matter(tmp_path: Path) -> None:
    directed = digest(tmp_path, ROWS)
    assert digest(tmp_path, ROWS, directed=False) != directed
    pq.write_table(pa.Table.from_pylist([], ORDERS), tmp_path / "orders.parquet")
    files = {table: tmp_path / f"{table}.parquet" for table in ("products", "orders")}
    assert digest_of(files, directed=True) != directed
