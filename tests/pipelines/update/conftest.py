"""A small shop that is live, and a later snapshot of it that differs in everything that can differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.homes import built_once, copied
from twinvec import columns, dag, releases
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.synthetic.store import generate
from twinvec.settings import Settings
from twinvec.workspace import Workspace

SEED = 20_267
NEW_CATEGORY = ["Brand new", "Never seen"]


@dataclass(frozen=True)
class Plan:
    """Changes that were made to the shop.

    Attributes:
        home: Release 1, of `before`, is live; `after` is ingested last.
        before, after, little: Ids of the snapshots; `little` has one product more than `before`, without edges.
        new, delisted, retitled, priced, moved, pictured: Ids of products. Of those that are new, the first half was
            bought and viewed with others; `moved` are in a new category.
    """

    home: Path
    before: str
    after: str
    little: str
    new: list[str]
    delisted: list[str]
    retitled: list[str]
    priced: list[str]
    moved: list[str]
    pictured: list[str]


# Small, with encoders that are not trained.
GROUPS: dict[str, Any] = {
    "device": "cpu",
    "category": {"epochs": 50},
    "text": {"scheme": "pretrained", "max_length": 16},
    "image": {"model": "vit_small_untrained", "size": 16, "dimension": 16},
    "aligned": {"dimension": 24, "epochs": 2},
    "related": {"dimension": 16, "twinvec": {"epochs": 3}},
    "ranking": {"trees": 30, "cold": "on"},
    "update": {"min_edges": 1},
}


def small(home: Path) -> Settings:
    """Small settings."""
    return Settings(home=home, **GROUPS)


@pytest.fixture(scope="session")
def groups() -> dict[str, Any]:
    """The settings of `small` besides the home."""
    return GROUPS


def change(store: Path, random: np.random.Generator) -> dict[str, list[str]]:
    """Change a store's tables in place; gives the names of the fields of `Plan` and ids."""
    products = pq.read_table(store / "products.parquet").to_pylist()
    ids = [row["product_id"] for row in products]
    pick = iter(random.permutation(len(products)).tolist())
    chosen = {name: [next(pick) for _ in range(6)] for name in ("delisted", "retitled", "priced", "moved")}
    chosen["pictured"] = [next(pick) for _ in range(4)]
    for row in chosen["retitled"]:
        products[row]["title"] = [("en", f"Another title {row}")]
    for row in chosen["priced"]:
        products[row]["price"] = 1.25
    for row in chosen["moved"]:
        products[row]["category"] = NEW_CATEGORY
    images = [products[row]["image"] for row in chosen["pictured"]]
    for row, image in zip(chosen["pictured"], images[1:] + images[:1], strict=True):
        products[row]["image"] = image
    new = [{**products[next(pick)], "product_id": f"new-{place}"} for place in range(8)]
    kept = [row for place, row in enumerate(products) if place not in chosen["delisted"]]
    _write(store, "products", kept + new, columns.PRODUCTS)
    others = [row["product_id"] for row in kept]
    for table, schema, event in (
        ("orders", columns.ORDERS, "order_id"),
        ("views", columns.VIEWS, "session_id"),
    ):
        rows = pq.read_table(store / f"{table}.parquet").to_pylist()
        for place, row in enumerate(new[:4]):
            for number in range(5):
                partner = others[int(random.integers(len(others)))]
                rows += [
                    {**rows[0], event: f"later-{place}-{number}", "product_id": each}
                    for each in (row["product_id"], partner)
                ]
        for number in range(3):  # new pairs of products that were there
            rows += [
                {**rows[0], event: f"more-{number}", "product_id": others[int(each)]}
                for each in random.choice(len(others), 2, replace=False)
            ]
        _write(store, table, rows, schema)
    return {"new": [row["product_id"] for row in new]} | {
        name: [ids[row] for row in rows] for name, rows in chosen.items()
    }


def _write(store: Path, table: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema), store / f"{table}.parquet")


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return built_once(tmp_path_factory, "update", build_plan)


def build_plan(folder: Path) -> Plan:
    workspace = Workspace(small(folder / "home"))
    generate(folder / "store", 220, seed=SEED, images=True)
    before = ingest(folder / "store", "parquet", workspace.settings, workspace.engine).snapshot
    made = {step.space: step.version for step in dag.run(workspace, before) if step.version}
    releases.promote(workspace, releases.publish(workspace, made["related"]))
    products = pq.read_table(folder / "store" / "products.parquet")
    little = [*products.to_pylist(), {**products.to_pylist()[3], "product_id": "new-1"}]
    _write(folder / "store", "products", little, columns.PRODUCTS)
    lonely = ingest(folder / "store", "parquet", workspace.settings, workspace.engine).snapshot
    pq.write_table(products, folder / "store" / "products.parquet")
    changed = change(folder / "store", np.random.default_rng(SEED))
    after = ingest(folder / "store", "parquet", workspace.settings, workspace.engine).snapshot
    workspace.index.close()
    workspace.engine.dispose()
    return Plan(folder / "home", before.id, after.id, lonely.id, **changed)


@pytest.fixture(scope="session")
def opened(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Iterator[Workspace]]:
    """Copy the home and open the copy; the versions' files stay where they are."""

    def copy() -> Iterator[Workspace]:
        home = tmp_path_factory.mktemp("copy") / "home"
        copied(plan.home, home)
        workspace = Workspace(small(home))
        yield workspace
        workspace.index.close()
        workspace.engine.dispose()

    return copy


@pytest.fixture
def workspace(opened: Callable[[], Iterator[Workspace]]) -> Iterator[Workspace]:
    """A copy of the home."""
    yield from opened()
