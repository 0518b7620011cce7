"""Graph reduction against brute force, and in little memory (WAML 2.1, appendix A)."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.sellers.reduction import Reduced, reduce_graph
from twinvec import columns
from twinvec.catalogue.snapshot import Snapshot

MOST, LEAST, BELOW = 6, 2, 3


class Store:
    """A random store, as sets of tuples."""

    def __init__(self, seed: int) -> None:
        draw = np.random.default_rng(seed)
        self.products = [f"p{number:03}" for number in draw.permutation(draw.integers(20, 40))]
        # One product has no category.
        self.category = {name: f"c{draw.integers(5)}" for name in self.products[1:]}
        self.offers = {
            (f"s{draw.integers(12):02}", self.products[int(len(self.products) * draw.random() ** 2)])
            for _ in range(70)
        }
        self.interactions = {
            (
                f"u{int(30 * draw.random() ** 3):02}",
                self.products[int(len(self.products) * draw.random() ** 1.5)],
            ): int(draw.integers(1, 4))
            for _ in range(260)
        }

    def snapshot(self, folder: Path, with_interactions: bool = True) -> Snapshot:
        rows: dict[str, tuple[pa.Schema, list[dict[str, Any]]]] = {
            "products": (
                columns.PRODUCTS,
                [
                    {
                        "product_id": name,
                        "category": ["root", self.category[name]] if name in self.category else [],
                    }
                    | {"marketplace": "us"}
                    for name in self.products
                ],
            ),
            "offers": (columns.OFFERS, [{"seller_id": s, "product_id": p} for s, p in sorted(self.offers)]),
        }
        if with_interactions:
            rows["interactions"] = (
                columns.INTERACTIONS,
                [
                    {"customer_id": c, "product_id": p, "count": count}
                    for (c, p), count in sorted(self.interactions.items())
                ],
            )
        for name, (schema, values) in rows.items():
            pq.write_table(pa.Table.from_pylist(values, schema), folder / f"{name}.parquet")
        tables = {name: len(values) for name, (_, values) in rows.items()}
        return Snapshot("0" * 16, folder, False, None, tables, datetime.now(UTC))


def brute_force(
    store: Store,
) -> tuple[dict[frozenset[str], int], dict[frozenset[str], int], set[str], set[str]]:
    """All links, links kept, candidates and products kept."""
    offered = Counter(product for _, product in store.offers)
    candidates = {name for name in store.products if offered[name] < BELOW}
    baskets = defaultdict(list)
    for (customer, product), count in store.interactions.items():
        baskets[customer].append((-count, product))
    shared: Counter[frozenset[str]] = Counter()
    for basket in baskets.values():
        chosen = [product for _, product in sorted(basket)[:MOST]]
        shared.update(frozenset(pair) for pair in combinations(chosen, 2))
    kept = {pair: count for pair, count in shared.items() if count >= LEAST and pair & candidates}
    return dict(shared), kept, candidates, candidates.union(*kept)


@pytest.mark.parametrize("seed", range(4))
def test_it_keeps_what_brute_force_keeps(tmp_path: Path, seed: int) -> None:
    store = Store(seed)
    shared, kept, candidates, trained = brute_force(store)
    reduced = reduce_graph(store.snapshot(tmp_path), BELOW, MOST, LEAST, "200MB")
    products, sellers, categories = (
        table.to_pylist() for table in (reduced.products, reduced.sellers, reduced.categories)
    )
    assert products == sorted(trained)
    assert {products[row] for row in np.flatnonzero(reduced.candidate)} == candidates
    one, other, count = reduced.links
    assert np.all(one < other)
    found = {frozenset((products[a], products[b])): n for a, b, n in zip(one, other, count, strict=True)}
    assert found == kept
    offers = {(sellers[s], products[p]) for s, p in zip(*reduced.offers, strict=True)}
    assert offers == {(seller, product) for seller, product in store.offers if product in trained}
    assert sellers == sorted({seller for seller, _ in offers})
    members = {products[p]: categories[c] for p, c in zip(*reduced.members, strict=True)}
    assert members == {name: f"root > {store.category[name]}" for name in trained & set(store.category)}
    heavy = Counter(customer for customer, _ in store.interactions)
    assert reduced.bounded.customers == sum(size > MOST for size in heavy.values())
    assert reduced.bounded.interactions == sum(max(0, size - MOST) for size in heavy.values())
    counts = {row.what: (row.before, row.after) for row in reduced.counts}
    assert counts["product-product edges"] == (len(shared), len(kept))
    assert counts["product-product edges over the threshold"] == (
        None,
        sum(n >= LEAST for n in shared.values()),
    )
    assert counts["customers"] == (len(heavy), 0)
    assert counts["nodes"][1] == len(products) + len(sellers) + len(categories)
    assert counts["seller-candidate edges"][0] == sum(product in candidates for _, product in store.offers)


def test_counting_in_parts_changes_nothing(tmp_path: Path) -> None:
    snapshot = Store(9).snapshot(tmp_path)
    whole, parts = (reduce_graph(snapshot, BELOW, MOST, LEAST, "200MB", at_once) for at_once in (10**6, 40))
    for name in ("links", "offers", "members"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    assert whole.counts == parts.counts


def test_without_interactions_there_are_no_links(tmp_path: Path) -> None:
    store = Store(5)
    reduced: Reduced = reduce_graph(store.snapshot(tmp_path, False), BELOW, MOST, LEAST, "200MB")
    assert len(reduced.links[0]) == 0
    assert reduced.candidate.all()


def test_memory_stays_within_the_limit(tmp_path: Path) -> None:
    """All pairs of a customer's products, with their counts, take more than twice the limit."""
    draw = np.random.default_rng(0)
    products, customers, each = 20_000, 7_000, 45
    ids = pa.array([f"p{number:05}" for number in range(products)])
    known = {"product_id": ids, "category": pa.array([[]] * products, pa.list_(pa.string()))}
    rows = [known.get(field.name, pa.nulls(products, field.type)) for field in columns.PRODUCTS]
    pq.write_table(pa.table(rows, names=columns.PRODUCTS.names), tmp_path / "products.parquet")
    edges = np.unique(
        draw.integers(0, products, customers * each) + products * np.repeat(np.arange(customers), each)
    )
    names = pa.array([f"u{number}" for number in range(customers)]).take(pa.array(edges // products))
    table = [names, ids.take(pa.array(edges % products)), pa.array(np.ones(len(edges), np.int64))]
    pq.write_table(pa.table(table, names=columns.INTERACTIONS.names), tmp_path / "interactions.parquet")
    pq.write_table(pa.table([["s"], ["p00000"]], names=columns.OFFERS.names), tmp_path / "offers.parquet")
    tables = {"products": products, "interactions": len(edges), "offers": 1}
    snapshot = Snapshot("0" * 16, tmp_path, False, None, tables, datetime.now(UTC))
    reduced = reduce_graph(snapshot, BELOW, 100, 3, "80MB", 1_000_000)
    pairs = {row.what: row.before for row in reduced.counts}["product-product edges"]
    assert pairs is not None
    assert pairs * 24 > 2 * 80_000_000
    assert 0 < len(reduced.links[0]) < 10_000
