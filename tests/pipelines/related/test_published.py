"""Models of related go the whole road: trained, kept in MLflow, published; and one goes live and is updated.

`twinvec` and `paper` go it in the tests of the road.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.related import pipeline
from pipelines.related.models import model_names
from pipelines.update.live import find_live
from pipelines.update.pipeline import embed
from registry.models import State, Version
from twinvec import columns, dag, releases
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.catalogue.synthetic.store import generate
from twinvec.features.reading import read_vectors
from twinvec.settings import RelatedSettings, Settings
from twinvec.workspace import Workspace

pytestmark = pytest.mark.slow
GROUPS: dict[str, Any] = {
    "device": "cpu",
    "category": {"epochs": 50},
    "graph": {"drop_weak": "never"},
    "text": {"scheme": "pretrained", "max_length": 16},
    "image": {"scheme": "none"},
    "aligned": {"dimension": 24, "epochs": 2},
    "ranking": {"trees": 30},
}


@dataclass(frozen=True)
class Shop:
    """A home, and the store that was ingested into it."""

    workspace: Workspace
    snapshot: Snapshot
    store: Path


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("models")
    workspace = Workspace(Settings(home=folder / "home", **GROUPS))
    generate(folder / "store", 200, seed=3, images=False)
    snapshot = ingest(folder / "store", "parquet", workspace.settings, workspace.engine).snapshot
    yield Shop(workspace, snapshot, folder / "store")
    workspace.index.close()
    workspace.engine.dispose()


def with_model(workspace: Workspace, name: str) -> Workspace:
    related = RelatedSettings.model_validate(
        {"recipe": name, "dimension": 16, name: {"epochs": 2}, "sampler": "csr"}
    )
    return Workspace(workspace.settings.model_copy(update={"related": related}))


def trained(workspace: Workspace, snapshot: Snapshot) -> Version:
    steps = dag.run(workspace, snapshot, {"ranking"})
    return next(step.version for step in steps if step.space == "related" and step.version is not None)


@pytest.mark.parametrize("name", [name for name in model_names() if name not in ("twinvec", "paper")])
def test_a_version_of_every_model_is_published(shop: Shop, name: str) -> None:
    workspace = with_model(shop.workspace, name)
    version = trained(workspace, shop.snapshot)
    assert (version.state, version.dimension) == (State.READY, 16)
    assert 0 < version.metrics["mrr_at_10"] <= 1
    assert version.model_uri is not None
    assert trained(workspace, shop.snapshot).name == version.name, "nothing changed, so nothing is made again"
    ids = product_ids(shop.snapshot)
    source, target = vectors(workspace, version, ids)
    assert np.isfinite(source).all()
    assert len(np.unique(source.round(4), axis=0)) > len(ids) / 2
    assert np.abs(source - target).max() > 1e-3
    release = releases.publish(workspace, version)
    assert workspace.index.count(release.collection) == len(ids)
    workspace.index.close()
    workspace.engine.dispose()


def test_an_update_reads_the_degrees_of_the_later_graph(shop: Shop) -> None:
    """LightGCN is the model that reads of a node what the graph alone says, and says otherwise after more orders."""
    workspace = with_model(shop.workspace, "lightgcn")
    version = trained(workspace, shop.snapshot)
    releases.promote(workspace, releases.publish(workspace, version), force=True)
    ids, orders = product_ids(shop.snapshot), shop.store / "orders.parquet"
    rows = pq.read_table(orders).to_pylist()
    rows += [
        {**rows[0], "order_id": f"later-{pair}-{time}", "product_id": each}
        for pair in range(3)
        for time in range(5)
        for each in (ids[pair], ids[100 + pair])
    ]
    pq.write_table(pa.Table.from_pylist(rows, columns.ORDERS), orders)
    later = ingest(shop.store, "parquet", workspace.settings, workspace.engine).snapshot
    live = find_live(workspace, workspace.settings.release)
    some, everything = (embed(workspace, live, later, full, print)["related"] for full in (False, True))
    part, whole, before = (vectors(workspace, made, ids) for made in (some, everything, version))
    np.testing.assert_allclose(part, whole, atol=1e-5)
    assert np.abs(part - before).max() > 1e-4
    factors = [np.load(Path(made.path) / pipeline.FACTORS) for made in (some, version)]
    assert (factors[0] != factors[1]).any()
    assert 0 < some.metrics["affected"] < everything.metrics["affected"]
    workspace.index.close()
    workspace.engine.dispose()


def product_ids(snapshot: Snapshot) -> list[str]:
    with snapshot.connect() as connection:
        found = connection.execute("SELECT product_id FROM products ORDER BY product_id").fetchall()
    return [key for (key,) in found]


def vectors(workspace: Workspace, version: Version, ids: list[str]) -> npt.NDArray[np.float32]:
    """Source and target vectors, [2, ids, dimension]."""
    read = read_vectors(workspace.features, version, ids)
    return np.stack([read.fields[name] for name in (pipeline.SOURCE_FIELD, pipeline.TARGET_FIELD)])
