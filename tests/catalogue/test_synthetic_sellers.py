"""Offers and interactions of the synthetic store, in its files and in a snapshot."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twinvec import columns
from twinvec.catalogue.ingest import IngestReport
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.catalogue.synthetic import StoreSummary, generate
from twinvec.catalogue.synthetic.layout import plan
from twinvec.catalogue.synthetic.sellers import interactions, niche_count, niche_of, offers
from twinvec.errors import CatalogueError

PRODUCTS = [{"product_id": name, "category": ["a"], "marketplace": "us"} for name in "pqr"]
# The snapshot of the store below without sellers, since before there were any.
WITHOUT_SELLERS = "7d51418cf92ff53a"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> StoreSummary:
    return generate(tmp_path_factory.mktemp("sellers") / "tiny", "tiny", seed=3, images=False, sellers=True)


def test_all_other_tables_are_the_same_with_and_without_sellers(tiny: StoreSummary, tmp_path: Path) -> None:
    plain = generate(tmp_path / "plain", "tiny", seed=3, images=False)
    names = {str(path.relative_to(plain.folder)) for path in plain.folder.rglob("*") if path.is_file()}
    for name in names:
        assert (plain.folder / name).read_bytes() == (tiny.folder / name).read_bytes(), name
    more = {str(path.relative_to(tiny.folder)) for path in tiny.folder.rglob("*") if path.is_file()} - names
    assert more == {"offers.parquet", "interactions.parquet"}
    assert (plain.offers, plain.interactions) == (0, 0)


def test_the_same_seed_gives_the_same_sellers(tiny: StoreSummary, tmp_path: Path) -> None:
    again = generate(tmp_path / "again", "tiny", seed=3, images=False, sellers=True)
    other = generate(tmp_path / "other", "tiny", seed=4, images=False, sellers=True)
    for table, rows in (("offers", tiny.offers), ("interactions", tiny.interactions)):
        first, second, third = (
            pq.read_table(each.folder / f"{table}.parquet") for each in (tiny, again, other)
        )
        assert first.equals(second)
        assert not first.equals(third)
        assert len(first) == rows
    layout = plan(500, 3)
    whole = offers(layout, np.arange(500))
    parts = [offers(layout, part) for part in np.array_split(np.arange(500), 7)]
    for side in range(2):
        np.testing.assert_array_equal(whole[side], np.concatenate([part[side] for part in parts]))


def test_candidates_have_the_offers_of_the_papers_table() -> None:
    layout = plan(5_000, 0)
    seller, product = offers(layout, np.arange(5_000))
    assert len(np.unique(seller * 5_000 + product)) == len(seller)
    count = np.bincount(product, minlength=5_000)
    candidates = count[count < 10]
    assert len(candidates) / 5_000 == pytest.approx(0.7, abs=0.03)
    assert candidates.mean() == pytest.approx(2.8, abs=0.15)
    shares = np.bincount(np.digitize(candidates, [1, 4, 10]), minlength=4) / len(candidates)
    np.testing.assert_allclose(shares, [0.142, 0.479, 0.378, 0.0], atol=0.03)
    by_seller = np.bincount(seller, minlength=5_000)
    assert np.mean(by_seller <= 3) > 0.2
    assert by_seller.max() > 200


def test_sellers_keep_to_their_niche_and_some_customers_are_heavy() -> None:
    layout = plan(2_000, 1)
    seller, product = offers(layout, np.arange(2_000))
    assert np.mean(seller % niche_count(layout) == niche_of(layout, product)) > 0.6
    customer, _ = interactions(layout, np.arange(8_000))
    lines = np.bincount(customer)
    assert lines.max() > 50 * np.median(lines[lines > 0])


def test_offers_and_interactions_enter_the_snapshot(
    tiny: StoreSummary, ingest_into: Callable[..., IngestReport]
) -> None:
    report = ingest_into(tiny.folder, "parquet")
    assert report.quarantined == {table: {} for table in report.rows}
    assert report.snapshot.tables["offers"] == tiny.offers
    with open_snapshot(report.snapshot.path).connect() as connection:
        kept, lines = one(connection, "SELECT count(*), sum(count) FROM interactions")
        distinct = one(
            connection, f"SELECT count(*) FROM (SELECT DISTINCT * FROM '{tiny.folder}/interactions.parquet')"
        )
    assert (kept, lines) == (distinct[0], tiny.interactions)


def test_a_store_without_sellers_keeps_its_snapshot_id(
    tmp_path: Path, ingest_into: Callable[..., IngestReport]
) -> None:
    plain = generate(tmp_path / "plain", "tiny", seed=3, images=False)
    assert ingest_into(plain.folder, "parquet").snapshot.id == WITHOUT_SELLERS


def test_rows_that_break_the_contract_are_quarantined(
    tmp_path: Path, ingest_into: Callable[..., IngestReport]
) -> None:
    write(
        tmp_path, "offers", columns.OFFERS, [("s", "p"), ("s", "p"), ("s", "unknown"), ("", "q"), ("t", "q")]
    )
    rows: list[tuple[object, ...]] = [
        ("c", "p", 2),
        ("c", "p", 3),
        ("c", "q", 0),
        ("d", "unknown", 1),
        ("d", "r", 1),
    ]
    write(tmp_path, "interactions", columns.INTERACTIONS, rows)
    with pytest.raises(CatalogueError, match="offers break the contract"):
        ingest_into(tmp_path, "parquet")
    report = ingest_into(tmp_path, "parquet", max_quarantined=0.3)
    assert report.quarantined["offers"] == {"no seller_id": 1}
    assert report.left_out["offers"]["unknown product"] == 1
    assert report.quarantined["interactions"] == {"count is not positive": 1}
    assert report.left_out["interactions"] == {"unknown product": 1}
    tables = {
        name: pq.read_table(report.snapshot.table(name)).to_pylist() for name in ("offers", "interactions")
    }
    assert [tuple(row.values()) for row in tables["offers"]] == [("s", "p"), ("t", "q")]
    assert [tuple(row.values()) for row in tables["interactions"]] == [("c", "p", 5), ("d", "r", 1)]
    refused = pq.read_table(
        report.snapshot.path / "quarantine.parquet", filters=[("outcome", "=", "quarantined")]
    )
    assert refused["table"].to_pylist() == [
        "interactions",
        "offers",
    ]


def write(folder: Path, name: str, schema: pa.Schema, rows: list[tuple[object, ...]]) -> None:
    pq.write_table(pa.Table.from_pylist(PRODUCTS, columns.PRODUCTS), folder / "products.parquet")
    values = [dict(zip(schema.names, row, strict=True)) for row in rows]
    pq.write_table(pa.Table.from_pylist(values, schema), folder / f"{name}.parquet")


def one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row
