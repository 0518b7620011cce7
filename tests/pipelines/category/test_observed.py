"""Where a snapshot's associations are counted: over its baskets if it has orders, else over its pairs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.category.npmi import observed_pairs
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.settings import Settings
from twinvec.workspace import Workspace

# Basket 1 has more lines than products; basket 3 holds both products of A; basket 5 is too large to tell anything.
LINES = """order_id,product_id,category
1,a1,A
1,b1,B
1,a1,A
1,a1,A
2,a1,A
2,b2,B
3,a1,A
3,a2,A
4,c1,C
4,b1,B
5,a1,A
5,b1,B
5,c1,C
5,b2,B
"""


@pytest.fixture
def snapshot(tmp_path: Path) -> tuple[Snapshot, Settings]:
    (tmp_path / "orders.csv").write_text(LINES)
    settings = Settings.model_validate(
        {"home": tmp_path / "home", "ingest": {"max_basket": 3}, "category": {"min_count": 1}}
    )
    return ingest(tmp_path / "orders.csv", "orders", settings, Workspace(settings).engine).snapshot, settings


def test_baskets_are_counted_where_there_are_orders(snapshot: tuple[Snapshot, Settings]) -> None:
    found = {(row["a"], row["b"]): row for row in observed_pairs(*snapshot).to_pylist()}
    assert found.keys() == {("A", "B"), ("B", "C")}
    assert (found["A", "B"]["together"], found["B", "C"]["together"]) == (2, 1)
    # Four baskets: P(A) = P(B) = 3/4, P(A, B) = 1/2; log(1/2 / (9/16)) / -log(1/2) = log2(8/9).
    assert found["A", "B"]["npmi"] == pytest.approx(-0.169925, abs=1e-6)
    # P(C) = P(B, C) = 1/4: log(1/4 / (3/16)) / -log(1/4) = log4(4/3).
    assert found["B", "C"]["npmi"] == pytest.approx(0.207519, abs=1e-6)
