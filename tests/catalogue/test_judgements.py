"""Contract of queries, judgements and purchases after queries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twinvec.columns import JUDGEMENTS, PRODUCTS, QUERIES, QUERY_PURCHASES
from twinvec.errors import CatalogueError

QUERY = {"query_id": "q", "text": " usb  cable ", "locale": "us"}


def write(folder: Path, **rows: list[dict[str, Any]]) -> Path:
    folder.mkdir()
    products = [{"product_id": name, "category": [], "marketplace": "us"} for name in "abc"]
    schemas = {"queries": QUERIES, "judgements": JUDGEMENTS, "query_purchases": QUERY_PURCHASES}
    pq.write_table(pa.Table.from_pylist(products, PRODUCTS), folder / "products.parquet")
    for name, table in rows.items():
        nullable = pa.schema([field.with_nullable(True) for field in schemas[name]])
        pq.write_table(pa.Table.from_pylist(table, nullable), folder / f"{name}.parquet")
    return folder


def judged(product: str, labels: str) -> list[dict[str, Any]]:
    return [{"query_id": "q", "product_id": product, "locale": "us", "label": label} for label in labels]


def test_most_judgements_win_and_a_tie_goes_to_the_least_relevant(tmp_path: Path, ingest_into: Any) -> None:
    rows = [*judged("a", "EES"), *judged("b", "ESIE"), *judged("c", "SECI")]
    report = ingest_into(write(tmp_path / "s", queries=[QUERY], judgements=rows), "parquet")
    kept = pq.read_table(report.snapshot.table("judgements")).to_pylist()
    assert [(row["product_id"], row["label"]) for row in kept] == [("a", "E"), ("b", "E"), ("c", "I")]
    assert report.left_out["judgements"] == {"contradicted by other judgements of the same pair": 1 + 2 + 3}
    assert pq.read_table(report.snapshot.table("queries")).to_pylist() == [
        {"query_id": "q", "text": "usb  cable", "locale": "us", "split": None}
    ]


def test_rows_of_unknown_products_and_queries_are_left_out_and_counted(
    tmp_path: Path, ingest_into: Any
) -> None:
    elsewhere = {"query_id": "other", "product_id": "a", "locale": "us", "label": "E"}
    bought = [{"query_id": "q", "product_id": name, "count": 2} for name in ("a", "a", "nothing")]
    report = ingest_into(
        write(
            tmp_path / "s",
            queries=[QUERY],
            judgements=[*judged("a", "E"), *judged("nothing", "E"), elsewhere],
            query_purchases=bought,
        ),
        "parquet",
    )
    assert report.left_out["judgements"] == {"unknown product": 1, "unknown query": 1}
    assert report.left_out["query_purchases"] == {"unknown product": 1}
    assert pq.read_table(report.snapshot.table("query_purchases"))["count"].to_pylist() == [4]


@pytest.mark.parametrize(
    ("table", "wrong", "reason"),
    [
        ("queries", {**QUERY, "text": " "}, "no text"),
        ("queries", {**QUERY, "split": "dev"}, "split is not train or test"),
        ("queries", {**QUERY, "text": "another"}, "duplicated query_id"),
        ("judgements", judged("a", "X")[0], "label is not E, S, C or I"),
        ("judgements", {**judged("a", "E")[0], "locale": None}, "no locale"),
        ("query_purchases", {"query_id": "q", "product_id": "a", "count": 0}, "count is not positive"),
    ],
)
def test_a_row_that_breaks_the_contract_is_named(
    tmp_path: Path, ingest_into: Any, table: str, wrong: dict[str, Any], reason: str
) -> None:
    rows: dict[str, list[dict[str, Any]]] = {"queries": [QUERY]}
    rows[table] = [*rows.get(table, []), wrong]
    with pytest.raises(CatalogueError, match=f"1 × {reason}"):
        ingest_into(write(tmp_path / "s", **rows), "parquet", max_quarantined=0.0)
