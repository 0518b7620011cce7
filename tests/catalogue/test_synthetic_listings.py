"""The synthetic store with listings: the contract, the truth, and what stays as it is without them."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.catalogue.conftest import Ingest
from twinvec.catalogue.synthetic import generate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores")
    generate(folder / "with", "tiny", seed=5, images=False, listings=True)
    generate(folder / "without", "tiny", seed=5, images=False)
    return folder


def test_it_is_ingested_whole(folder: Path, ingest_into: Ingest) -> None:
    report = ingest_into(folder / "with", "parquet")
    assert report.quarantined["listings"] == {}
    assert report.snapshot.tables["listings"] == report.rows["listings"] > report.rows["products"]


def test_the_large_stores_are_the_same_without_it(folder: Path) -> None:
    for table in ("products", "orders", "views"):
        one, other = (f"(FROM '{folder / name / table}.parquet')" for name in ("with", "without"))
        more, fewer = (
            duckdb.execute(f"SELECT count(*) FROM (FROM {a} EXCEPT ALL FROM {b})").fetchall()[0][0]
            for a, b in ((one, other), (other, one))
        )
        assert fewer == 0
        assert more > 0
    small = f"FROM '{folder}/with/orders.parquet' WHERE starts_with(order_id, 'M')"
    visits, everything = (
        duckdb.execute(f"SELECT count(DISTINCT order_id) {rows}").fetchall()[0][0]
        for rows in (small, f"FROM '{folder}/with/orders.parquet'")
    )
    assert 0 < visits < 0.06 * everything


def test_listings_of_a_product_are_of_one_family_and_in_stores_own_words(folder: Path) -> None:
    listings = f"'{folder}/with/listings.parquet' JOIN '{folder}/with/truth/listings.parquet' AS truth USING (item_id)"
    ((families, languages, stores, colours),) = duckdb.execute(
        f"""SELECT max(families), max(languages), max(stores), max(colours) FROM (
                SELECT count(DISTINCT truth.family_id) AS families, count(DISTINCT language) AS languages,
                       count(DISTINCT marketplace) AS stores, count(DISTINCT colour) FILTER (language = 'en') AS colours
                FROM {listings.replace("AS truth", "AS truth (item_id, true_product, family_id, store, crosslisted)")}
                GROUP BY true_product
            )"""
    ).fetchall()
    assert (families, languages, stores, colours) == (1, 3, 4, 1)
    ((titles, rows),) = duckdb.execute(
        f"SELECT count(DISTINCT title), count(*) FROM '{folder}/with/listings.parquet' WHERE language = 'es'"
    ).fetchall()
    assert titles > 0.7 * rows
    missing = duckdb.execute(
        f"SELECT 1 - count(brand) / count(*), 1 - count(colour) / count(*) FROM '{folder}/with/listings.parquet'"
    ).fetchall()[0]
    assert missing == pytest.approx((0.15, 0.3), abs=0.05)
    own = duckdb.execute(
        f"""SELECT avg((NOT crosslisted)::INT), min((item_id[:9] <> truth.product_id)::INT) FILTER (NOT crosslisted)
            FROM '{folder}/with/truth/listings.parquet' AS truth WHERE marketplace = 'mx'"""
    ).fetchall()[0]
    assert own[0] == pytest.approx(0.7, abs=0.12)
    assert own[1] == 1
