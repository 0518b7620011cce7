"""The whole road on a small synthetic store with images: what is made, kept, published, and made again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from feast import FeatureStore
from mlflow import MlflowClient

from pipelines.graph.product_graph import ProductGraph, load_graph
from pipelines.related import pipeline
from pipelines.related.data import relations
from registry import operations
from registry.database import transaction
from registry.models import Release, State, Version
from twinvec import dag, releases
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.catalogue.synthetic.store import generate
from twinvec.settings import Settings
from twinvec.workspace import Workspace

pytestmark = pytest.mark.slow
BARE = "bare"
SHARES = ("hits_at_1", "hits_at_3", "hits_at_5", "hits_at_10", "mrr_at_10", "auc_dir", "right_way")
SPACES = ("category", "graph", "text", "image", "aligned", "related", "ranking")


def small(home: Path, **changes: Any) -> Settings:
    """Small settings; `changes` are groups, merged into them."""
    groups: dict[str, Any] = {
        "category": {"epochs": 100},
        "text": {"training": {"batch": 16, "pairs": 32, "epochs": 1, "validation_products": 40}},
        "image": {
            "scheme": "coview-pair",
            "model": "vit_small_untrained",
            "size": 32,
            "dimension": 32,
            "training": {"pairs": 64, "epochs": 1},
        },
        "aligned": {"dimension": 64, "epochs": 4},
        "related": {"dimension": 32, "twinvec": {"epochs": 5}, "paper": {"epochs": 5, "batch": 200}},
        "ranking": {"trees": 30},
    }
    for name, group in changes.items():
        groups[name] = {**groups.get(name, {}), **group}
    return Settings(home=home, device="cpu", **groups)


@dataclass(frozen=True)
class Shop:
    """A home in which the road was run once, and its release promoted; `source` was ingested."""

    source: Path
    workspace: Workspace
    snapshot: Snapshot
    versions: Mapping[str, Version]
    release: Release

    @property
    def graph(self) -> ProductGraph:
        return load_graph(Path(self.versions["graph"].path))

    def run(self, **changes: Any) -> dict[str, Version]:
        """The versions of a run with other settings in the same home."""
        changed = Workspace(small(self.workspace.settings.home, **changes))
        found = {step.space: step.version for step in dag.run(changed, self.snapshot) if step.version}
        changed.engine.dispose()
        return found

    def read(self, version: Version, keys: list[str]) -> pd.DataFrame:
        """Vectors as a colleague reads them, by Feast alone; indexed by key, null where there is none."""
        entity = version.manifest["entity"]
        wanted = pd.DataFrame({entity: keys, "event_timestamp": pd.Timestamp.now(tz="UTC")})
        names = [f"{version.view}:{name}" for name in version.manifest["fields"]]
        store = FeatureStore(repo_path=str(self.workspace.settings.home))
        found: pd.DataFrame = store.get_historical_features(entity_df=wanted, features=names).to_df()
        table: pd.DataFrame = found.set_index(entity).loc[keys, version.manifest["fields"]]
        return table


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    generate(folder / "store", 300, seed=5, images=True)
    products = folder / "store" / "products.parquet"
    table = pq.read_table(products)
    bare = {"product_id": BARE, "category": [], "marketplace": "us"}  # of which nothing is known
    pq.write_table(pa.concat_tables([table, pa.Table.from_pylist([bare], table.schema)]), products)
    workspace = Workspace(small(folder / "home"))
    snapshot = ingest(folder / "store", "parquet", workspace.settings, workspace.engine).snapshot
    steps = dag.run(workspace, snapshot)
    versions = {step.space: step.version for step in steps if step.version and step.made}
    release = releases.promote(workspace, releases.publish(workspace, versions["related"]))
    yield Shop(folder / "store", workspace, snapshot, versions, release)
    workspace.index.close()
    workspace.engine.dispose()


def stacked(column: pd.Series[Any]) -> npt.NDArray[np.float32]:
    vectors: npt.NDArray[np.float32] = np.stack(column.tolist())
    return vectors


def test_every_stage_made_a_version_from_the_others(shop: Shop) -> None:
    assert tuple(shop.versions) == SPACES
    assert {version.state for version in shop.versions.values()} == {State.READY}
    parents = {space: [parent.space for parent in version.inputs] for space, version in shop.versions.items()}
    assert {space: sorted(names) for space, names in parents.items() if names} == {
        "graph": ["category"],
        "text": ["graph"],
        "image": ["graph"],
        "aligned": ["graph", "image", "text"],
        "related": ["aligned", "graph"],
        "ranking": ["aligned", "graph", "related", "text"],
    }
    with transaction(shop.workspace.engine) as session:
        lineage = operations.lineage(session.get_one(Version, shop.versions["related"].id))
    assert {version.space for version in lineage} == set(SPACES) - {"ranking"}
    assert shop.release.lists is not None
    assert shop.release.lists.name == shop.versions["ranking"].name
    assert shop.versions["related"].manifest["graph"] == shop.versions["graph"].digest
    assert (shop.release.state, shop.release.version_id) == (State.LIVE, shop.versions["related"].id)


def test_every_version_is_read_through_feast_with_its_own_keys(shop: Shop) -> None:
    products = pq.read_table(shop.snapshot.table("products"), columns=["product_id", "image"])
    ids: list[str] = products["product_id"].to_pylist()
    with_image = {row["product_id"] for row in products.to_pylist() if row["image"]}
    expected = {
        "text": set(ids) - {BARE},
        "image": with_image,
        "aligned": set(ids) - {BARE},
        "related": set(ids),
    }
    assert len(with_image) < len(ids) - 1
    for space, keys in expected.items():
        version = shop.versions[space]
        read = shop.read(version, ids)
        present = read[read.notna().all(axis=1)]
        assert set(present.index) == keys, space
        assert version.rows == len(keys)
        for name in read.columns:
            vectors = stacked(present[name])
            assert vectors.shape == (len(keys), version.dimension)
            assert np.isfinite(vectors).all()
            assert np.linalg.norm(vectors, axis=1).min() > 1e-3
    category = shop.versions["category"]
    names = pq.read_table(Path(category.path) / "vectors")["category"].to_pylist()
    vectors = stacked(shop.read(category, names)["category_vector"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_products_without_edges_have_vectors_of_their_own(shop: Shop) -> None:
    graph = shop.graph
    ends = [graph.copurchase.source, graph.copurchase.target, graph.coview.source, graph.coview.target]
    alone = np.setdiff1d(np.arange(graph.products), np.concatenate(ends))
    ids: list[str] = graph.product_ids.take(alone).to_pylist()
    assert BARE in ids
    assert len(ids) > 2, "the store has products that nobody has bought or viewed yet"
    read = shop.read(shop.versions["related"], ids)
    for name in read.columns:
        vectors = stacked(read[name])
        assert np.isfinite(vectors).all()
        different = np.unique(vectors.round(4), axis=0)
        assert len(different) == len(ids), "content tells them apart"


def test_figures_are_shares_and_far_above_chance(shop: Shop) -> None:
    metrics = shop.versions["related"].metrics
    assert all(0 <= metrics[name] <= 1 for name in SHARES)
    hits = [metrics[name] for name in SHARES[:4]]
    assert hits == sorted(hits)
    assert metrics["mrr_at_10"] <= metrics["hits_at_10"]
    graph = shop.graph
    source, target = (torch.randn(graph.products, 32) for _ in range(2))
    chance = pipeline.held_out_metrics(source, target, graph)["mrr_at_10"]
    assert metrics["mrr_at_10"] > max(0.1, 4 * chance), f"chance is {chance:.3f}"
    assert metrics["auc_dir"] > 0.55
    assert metrics["right_way"] > 0.55
    aligned = shop.versions["aligned"].metrics
    assert aligned["coverage"] == pytest.approx(1 - 1 / graph.products)
    assert aligned["validation_mrr_at_10"] > 0.05


LOAD = """
import sys
import mlflow.pyfunc, mlflow.pytorch, numpy as np, torch
uri, tracking, given, wanted = sys.argv[1:]
mlflow.set_tracking_uri(tracking)
model = mlflow.pytorch.load_model(uri)
inputs = [torch.from_numpy(array) for array in np.load(given).values()]
with torch.no_grad():
    source, target = model(*inputs)
np.savez(wanted, source=source.numpy(), target=target.numpy())
served = mlflow.pyfunc.load_model(uri)
names = [each.name for each in served.metadata.signature.inputs]
answer = served.predict(dict(zip(names, (array.numpy() for array in inputs), strict=True)))
np.testing.assert_allclose(answer["output_0"], source.numpy(), atol=1e-6)
np.testing.assert_allclose(answer["output_1"], target.numpy(), atol=1e-6)
assert served.input_example.keys() == set(names)
ours = {"twinvec", "pipelines", "registry"} & {name.partition(".")[0] for name in sys.modules}
assert not ours, ours
"""


def test_the_model_in_mlflow_gives_the_published_vectors_without_our_code(shop: Shop, tmp_path: Path) -> None:
    related, graph = shop.versions["related"], shop.graph
    ids: list[str] = graph.product_ids.to_pylist()
    aligned = shop.read(shop.versions["aligned"], ids)["aligned_vector"]
    length = shop.versions["aligned"].dimension or 0
    content = [[*vector, 1.0] if vector is not None else [0.0] * (length + 1) for vector in aligned]
    inputs = {
        "content": np.array(content, np.float32),
        "proximity": np.load(Path(related.path) / pipeline.FACTORS),
    }
    for name, neighbours in relations(graph, reverse=True).items():
        inputs[f"{name} offsets"] = neighbours.offsets.numpy()
        inputs[f"{name} positions"] = neighbours.positions.numpy()
    np.savez(tmp_path / "given.npz", allow_pickle=False, **inputs)
    uri, tracking = str(related.model_uri), shop.workspace.settings.tracking_uri()
    files = [str(tmp_path / "given.npz"), str(tmp_path / "wanted.npz")]
    subprocess.run([sys.executable, "-c", LOAD, uri, tracking, *files], check=True, cwd=tmp_path)

    found = np.load(tmp_path / "wanted.npz")
    published = shop.read(related, ids)
    np.testing.assert_allclose(found["source"], stacked(published["source_vector"]), atol=1e-5)
    np.testing.assert_allclose(found["target"], stacked(published["target_vector"]), atol=1e-5)


def test_models_load_by_pyfunc_and_are_described(shop: Shop) -> None:
    category = shop.versions["category"]
    mlflow.set_tracking_uri(shop.workspace.settings.tracking_uri())
    names = sorted(pq.read_table(Path(category.path) / "vectors")["category"].to_pylist())
    vectors = stacked(shop.read(category, names)["category_vector"])
    first, second = np.triu_indices(len(names))
    served = mlflow.pyfunc.load_model(category.model_uri)
    found = served.predict({"a": first, "b": second})
    np.testing.assert_allclose(found, (vectors[first] * vectors[second]).sum(1), atol=1e-5)
    assert served.input_example.keys() == {"a", "b"}

    client = MlflowClient()
    for space in ("category", "aligned", "related"):
        version = shop.versions[space]
        number = str(version.model_uri).rpartition("/")[2]
        said = client.get_run(str(version.run_id)).data.tags["mlflow.note.content"]
        assert said == client.get_model_version(space, number).description
        assert said.startswith(f"**{version.name}**, from snapshot `{version.snapshot_id}` as of ")
        for parent in version.inputs:
            assert parent.name in said
        assert client.get_registered_model(space).description
        experiment = client.get_experiment_by_name(f"twinvec/{space}")
        assert experiment is not None
        assert experiment.tags["mlflow.note.content"] == client.get_registered_model(space).description


AGAIN = """
import sys
from twinvec import dag
from twinvec.settings import Settings
from twinvec.workspace import Workspace
workspace = Workspace(Settings.model_validate_json(sys.argv[1]))
steps = dag.run(workspace, workspace.snapshot(sys.argv[2]))
assert [step.version.name for step in steps] == sys.argv[3:], steps
assert not any(step.made for step in steps), steps
standing = dag.standing(workspace, workspace.snapshot(sys.argv[2]))
assert not any(stage.stale for stage in standing), standing
heavy = {"torch", "mlflow", "feast", "dgl", "sentence_transformers"} & set(sys.modules)
assert not heavy, heavy
"""


def test_a_second_run_makes_nothing_and_imports_nothing_heavy(shop: Shop) -> None:
    settings = shop.workspace.settings.model_dump_json()
    names = [version.name for version in shop.versions.values()]
    subprocess.run([sys.executable, "-c", AGAIN, settings, shop.snapshot.id, *names], check=True)


def test_directions_by_price_and_by_popularity(shop: Shop) -> None:
    by_price = shop.run(graph={"direction": "price"})
    # What `auto` takes for pairs mined from baskets: the same graph, so nothing after it is made again.
    assert by_price["graph"].name != shop.versions["graph"].name
    assert by_price["graph"].digest == shop.versions["graph"].digest
    assert by_price["related"].name == shop.versions["related"].name

    found = shop.run(graph={"direction": "popularity"})
    graph = load_graph(Path(found["graph"].path))
    times = dict.fromkeys(graph.product_ids.to_pylist(), 0)
    for pair in pq.read_table(shop.snapshot.table("copurchase")).to_pylist():
        for end in ("source", "target"):
            times[pair[end]] += pair["count"]
    popularity = np.array([times[name] for name in graph.product_ids.to_pylist()])
    edges = graph.copurchase
    assert (popularity[edges.source] >= popularity[edges.target]).all()
    assert found["category"].name == shop.versions["category"].name
    assert found["related"].name != shop.versions["related"].name
    assert all(0 <= found["related"].metrics[name] <= 1 for name in SHARES)


def test_the_papers_recipe_runs(shop: Shop) -> None:
    found = shop.run(related={"recipe": "paper"})["related"]
    assert found.dimension == 32
    assert found.inputs[0].space in ("graph", "aligned")
    assert 0 < found.metrics["mrr_at_10"] <= 1
    vectors = stacked(shop.read(found, [BARE])["source_vector"])
    assert np.isfinite(vectors).all()
    assert found.model_uri != shop.versions["related"].model_uri


def test_both_samplers_come_to_much_the_same(shop: Shop) -> None:
    by_dgl = shop.versions["related"].metrics
    by_csr = shop.run(related={"sampler": "csr"})["related"].metrics
    assert by_csr["mrr_at_10"] == pytest.approx(by_dgl["mrr_at_10"], abs=0.05)
    assert by_csr["auc_dir"] == pytest.approx(by_dgl["auc_dir"], abs=0.08)


@pytest.fixture
def run_fresh(tmp_path: Path) -> Callable[..., dict[str, Version]]:
    """Ingest a source into a home of its own and run the road in it."""

    def run(name: str, source: Path, kind: str, **changes: Any) -> dict[str, Version]:
        workspace = Workspace(small(tmp_path / name, **changes))
        snapshot = ingest(source, kind, workspace.settings, workspace.engine).snapshot
        steps = dag.run(workspace, snapshot)
        workspace.engine.dispose()
        return {step.space: step.version for step in steps if step.version}

    return run


def test_the_same_seed_in_another_home_gives_the_same_versions(
    shop: Shop, run_fresh: Callable[..., dict[str, Version]]
) -> None:
    again = run_fresh("again", shop.source, "parquet")
    assert set(again) == set(SPACES)
    for space, version in shop.versions.items():
        assert version.digest == again[space].digest, space
        costs = {name for name in version.metrics if name.endswith(("per_second", "peak_memory_bytes"))}
        for name in version.metrics.keys() - costs:
            assert f"{version.metrics[name]:.4f}" == f"{again[space].metrics[name]:.4f}", (space, name)


def test_an_order_log_alone_is_enough(run_fresh: Callable[..., dict[str, Version]], tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    orders = [(order, f"p{order % 8}{item}") for order in range(160) for item in random.choice(9, 3, False)]
    rows = "".join(f"{order},{product}\n" for order, product in orders)
    (tmp_path / "orders.csv").write_text(f"order_id,product_id\n{rows}")
    made = run_fresh("home", tmp_path / "orders.csv", "orders", graph={"direction": "popularity"})
    assert set(made) == {"graph", "related", "ranking"}
    assert made["related"].rows == len({product for _, product in orders})
    assert made["related"].metrics["mrr_at_10"] > 0.05
