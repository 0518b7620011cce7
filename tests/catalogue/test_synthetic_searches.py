"""Search queries of the synthetic store: intents, judgements, purchases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from twinvec.catalogue.synthetic import StoreSummary, generate
from twinvec.catalogue.synthetic.layout import plan
from twinvec.catalogue.synthetic.search_tables import texts
from twinvec.catalogue.synthetic.searches import (
    BOUGHT_SHARES,
    CLASS_SHARES,
    JUDGED,
    REGIONS,
    judgements,
    purchases,
    queries_at,
    query_count,
    wanted_label,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StoreSummary:
    return generate(tmp_path_factory.mktemp("searches") / "store", 200, seed=3, images=False, searches=True)


@pytest.mark.parametrize("size", [200, 5_000])
def test_labels_are_true_have_the_papers_shares_and_no_pair_comes_twice(size: int) -> None:
    layout = plan(size, seed=5)
    queries = queries_at(layout, np.arange(query_count(layout)))
    position, product, label = judgements(layout, queries)
    assert len(position) == JUDGED * query_count(layout)
    np.testing.assert_array_equal(label, wanted_label(layout, queries, position, product))
    assert len(np.unique(np.stack([position, product]), axis=1).T) == len(position)
    shares = np.bincount(label, minlength=4) / len(label)
    np.testing.assert_allclose(shares, CLASS_SHARES, atol=4 / np.sqrt(len(label)))


def test_purchases_are_noisy_and_rich_in_some_regions_only() -> None:
    layout = plan(3_000, seed=6)
    queries = queries_at(layout, np.arange(query_count(layout)))
    position, product, count = purchases(layout, queries)
    label = wanted_label(layout, queries, position, product)
    np.testing.assert_allclose(np.bincount(label) / len(label), BOUGHT_SHARES, atol=0.02)
    assert count.min() == 1
    assert count.max() > 2
    known = np.isin(np.arange(query_count(layout)), position)
    for number, region in enumerate(REGIONS):
        share = known[queries.region == number].mean()
        assert abs(share - region.known) < 0.06, region.name
        assert abs((queries.region == number).mean() - region.share) < 0.02


def test_a_batch_does_not_change_what_is_drawn() -> None:
    layout = plan(400, seed=7)
    whole = queries_at(layout, np.arange(50))
    part = queries_at(layout, np.arange(20, 50))
    for name, values in vars(whole).items():
        np.testing.assert_array_equal(values[20:], getattr(part, name))
    assert texts(layout, whole).to_pylist()[20:] == texts(layout, part).to_pylist()


def test_unnamed_queries_are_unique_and_in_the_regions_language(store: StoreSummary) -> None:
    rows = pq.read_table(store.folder / "queries.parquet").to_pylist()
    truth = pq.read_table(store.folder / "truth" / "queries.parquet").to_pylist()
    assert [row["query_id"] for row in rows] == [row["query_id"] for row in truth]
    unnamed = [row["text"] for row, true in zip(rows, truth, strict=True) if not true["named"]]
    assert len(set(unnamed)) == len(unnamed) > 100
    starts = {"us": "phone case ", "es": "funda para teléfono ", "br": "capa de celular "}
    for row, true in zip(rows, truth, strict=True):
        if true["type"] == "Phone Cases":
            assert row["text"].startswith(starts[row["locale"].replace("mx", "es")])


def test_searches_enter_the_snapshot_and_change_no_other_table(
    store: StoreSummary, tmp_path: Path, ingest_into: Any
) -> None:
    without = generate(tmp_path / "without", 200, seed=3, images=False)
    assert pq.read_table(without.folder / "products.parquet") == pq.read_table(
        store.folder / "products.parquet"
    )
    report = ingest_into(store.folder, "parquet")
    tables = report.snapshot.tables
    assert tables["queries"] == store.queries == 400
    assert tables["judgements"] == store.judgements == 1_600
    assert 0 < tables["query_purchases"] <= store.query_purchases
    assert not any(report.quarantined[name] for name in ("queries", "judgements", "query_purchases"))
    assert "queries" not in ingest_into(without.folder, "parquet").snapshot.tables
