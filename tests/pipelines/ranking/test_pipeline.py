"""The space goes the whole road: trained, tested, kept in Feast and MLflow, published, and answered from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from feast import FeatureStore
from mlflow import MlflowClient

import twinvec
from pipelines.graph.product_graph import load_graph
from pipelines.ranking.evidence import EVIDENCE
from pipelines.ranking.explaining import Explainer
from pipelines.ranking.judging import compare
from pipelines.ranking.ranker import Ranker
from registry.models import Release, State, Version
from twinvec import dag, releases
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.catalogue.synthetic.store import generate
from twinvec.errors import StateError, StoreError
from twinvec.home import Home
from twinvec.serving.answering import Answerer
from twinvec.serving.api import create_app
from twinvec.serving.related import Recommender
from twinvec.settings import Settings
from twinvec.tracking import load_model
from twinvec.vectors.index import LISTS, Filters
from twinvec.vectors.lists import NONE, open_lists
from twinvec.workspace import Workspace

pytestmark = pytest.mark.slow
GROUPS: dict[str, Any] = {
    "device": "cpu",
    "category": {"epochs": 20},
    "graph": {"drop_weak": "never"},
    "text": {"scheme": "pretrained", "max_length": 16},
    "image": {"scheme": "none"},
    "aligned": {"dimension": 24, "epochs": 1},
    "related": {"dimension": 16, "twinvec": {"epochs": 2}},
    "ranking": {"min_edges": 20, "trees": 12, "min_pairs": 5, "length": 30, "candidates": 15, "threads": 1},
    "qdrant": {"verify_sample": 20},
}


@dataclass(frozen=True)
class Shop:
    """A home in which everything was run once, and is live."""

    workspace: Workspace
    snapshot: Snapshot
    versions: dict[str, Version]
    release: Release


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("ranking")
    workspace = Workspace(Settings(home=folder / "home", **GROUPS))
    generate(folder / "store", 260, seed=3, images=False)
    snapshot = ingest(folder / "store", "parquet", workspace.settings, workspace.engine).snapshot
    versions = {
        step.space: step.version for step in dag.run(workspace, snapshot, {"ranking"}) if step.version
    }
    release = releases.promote(workspace, releases.publish(workspace, versions["related"]))
    yield Shop(workspace, snapshot, versions, release)
    workspace.index.close()
    workspace.engine.dispose()


@pytest.fixture
def home(shop: Shop) -> Home:
    return Home(shop.workspace)


def product_ids(snapshot: Snapshot) -> list[str]:
    return sorted(pq.read_table(snapshot.table("products"))["product_id"].to_pylist())


def test_the_version_has_lists_and_figures(shop: Shop) -> None:
    version = shop.versions["ranking"]
    assert (version.state, version.dimension, version.rows) == (
        State.READY,
        None,
        len(product_ids(shop.snapshot)),
    )
    assert {parent.space for parent in version.inputs} == {"graph", "related", "text", "aligned"}
    figures = version.metrics
    assert figures["ranked"] == 1
    assert 0 < figures["mrr_at_10"] <= figures["hits_at_10"] <= figures["ceiling"] <= 1
    assert figures["vectors_mrr_at_10"] > 0
    lists = open_lists(Path(version.path))
    listed = lists.targets != NONE
    assert listed.any(1).mean() > 0.9
    assert not (lists.targets == np.arange(len(listed))[:, None]).any(), "no product is related to itself"
    scores = np.where(listed, lists.scores, -np.inf)
    assert (np.diff(scores, axis=1)[listed[:, 1:]] <= 0).all()


def test_the_ranker_is_in_mlflow(shop: Shop) -> None:
    version = shop.versions["ranking"]
    booster = load_model(
        shop.workspace.settings, version, "", "lightgbm", lambda each: version.manifest["model"]
    )
    assert booster.num_trees() == 12
    served = mlflow.pyfunc.load_model(version.model_uri)
    rows = np.random.default_rng(5).random((40, booster.num_feature()), np.float32)
    answer = served.predict(pd.DataFrame(rows, columns=booster.feature_name()))
    np.testing.assert_allclose(answer, Ranker(booster).score(rows), rtol=1e-5)
    assert list(served.input_example.columns) == booster.feature_name()
    names = {file.path for file in MlflowClient().list_artifacts(str(version.run_id))}
    assert {"importances.png", "contributions.png", "manifest.json"} <= names


def test_plain_feast_reads_the_lists(shop: Shop) -> None:
    version, ids = shop.versions["ranking"], product_ids(shop.snapshot)
    store = FeatureStore(repo_path=str(shop.workspace.settings.home))
    service = store.get_feature_service("related_products")
    assert version.view in {view.name for view in service.feature_view_projections}
    row = {"product_id": ids[5]}
    online = store.get_online_features(
        [f"{version.view}:related_ids", f"{version.view}:related_scores"], [row]
    ).to_dict()
    lists = open_lists(Path(version.path))
    listed = lists.targets[5][lists.targets[5] != NONE]
    assert online["related_ids"][0] == [ids[place] for place in listed]
    np.testing.assert_allclose(online["related_scores"][0], lists.scores[5, : len(listed)], rtol=1e-6)


def test_the_same_inputs_give_the_same_lists(shop: Shop) -> None:
    (step,) = [
        step
        for step in dag.run(shop.workspace, shop.snapshot, {"ranking"}, force=True)
        if step.space == "ranking"
    ]
    assert step.version is not None
    again, before = (open_lists(Path(each.path)) for each in (step.version, shop.versions["ranking"]))
    np.testing.assert_array_equal(again.targets, before.targets)
    np.testing.assert_array_equal(again.scores, before.scores)
    assert step.version.manifest["model"] == shop.versions["ranking"].manifest["model"]


def columns_of(shop: Shop, *names: str) -> dict[str, dict[str, Any]]:
    """Return column → product → value."""
    rows = pq.read_table(shop.snapshot.table("products"), columns=["product_id", *names]).to_pylist()
    return {name: {row["product_id"]: row[name] for row in rows} for name in names}


def test_a_release_answers_from_its_lists(shop: Shop, home: Home) -> None:
    assert shop.release.lists is not None
    assert shop.release.lists.name == shop.versions["ranking"].name
    assert shop.workspace.index.metadata(shop.release.collection)[LISTS] == "ranking@v1"
    lists, ids = open_lists(Path(shop.versions["ranking"].path)), product_ids(shop.snapshot)
    market = columns_of(shop, "marketplace")["marketplace"]
    for row in (0, 17, 99):
        answer = home.related(ids[row], k=8)
        assert answer.product.product_id == ids[row]
        own = [
            place
            for place, each in enumerate(lists.targets[row])
            if each != NONE and market[ids[each]] == market[ids[row]]
        ][:8]
        assert [hit.product.product_id for hit in answer.hits] == [
            ids[each] for each in lists.targets[row, own]
        ]
        assert [hit.score for hit in answer.hits] == pytest.approx(lists.scores[row, own].tolist())
        assert answer.ranked == len(own) == 8


def test_filters_choose_from_the_list_and_vectors_fill_it(shop: Shop, home: Home) -> None:
    ids = product_ids(shop.snapshot)
    columns = columns_of(shop, "marketplace", "currency", "price")
    price = columns["price"]
    lists = open_lists(Path(shop.versions["ranking"].path))
    most = float(np.nanmedian([each for each in price.values() if each is not None]))
    answer = home.related(ids[3], k=40, filters=Filters(max_price=most))
    found = [str(hit.product.product_id) for hit in answer.hits]
    cheap = [
        ids[row]
        for row in lists.targets[3]
        if row != NONE
        and (price[ids[row]] or np.inf) <= most
        and all(columns[name][ids[row]] == columns[name][ids[3]] for name in ("marketplace", "currency"))
    ]
    assert found[: len(cheap)] == cheap
    assert answer.ranked == len(cheap) < 40
    assert len(set(found)) == len(found) == 40
    assert ids[3] not in found
    assert all(price[each] <= most for each in found)


def test_without_the_files_the_error_says_what_to_do(shop: Shop) -> None:
    folder = Path(shop.versions["ranking"].path) / "lists"
    moved = folder.rename(folder.with_name("moved"))
    try:
        with pytest.raises(StoreError, match="cannot be read") as error:
            Home(shop.workspace).related(product_ids(shop.snapshot)[0])
        assert "twinvec run" in error.value.hint
    finally:
        moved.rename(folder)


def test_few_edges_give_lists_in_the_order_of_the_vectors(shop: Shop) -> None:
    settings = shop.workspace.settings
    few = Workspace(
        settings.model_copy(update={"ranking": settings.ranking.model_copy(update={"min_edges": 10_000})})
    )
    said: list[str] = []
    (step,) = [
        step
        for step in dag.run(few, shop.snapshot, {"ranking"}, progress=said.append)
        if step.space == "ranking"
    ]
    assert step.version is not None
    assert step.version.metrics["ranked"] == 0
    assert step.version.model_uri is None
    assert any("in the order of the vectors" in message for message in said)
    ids = product_ids(shop.snapshot)
    read = twinvec.open(settings.home).vectors("related@v1", keys=ids).to_numpy()
    dots = read["source_vector"] @ read["target_vector"].T
    lists = open_lists(Path(step.version.path))
    graph = load_graph(Path(shop.versions["graph"].path))
    joined = np.unique(np.concatenate([*graph.copurchase.ends, *graph.coview.ends]))
    for row in joined[[4, 40]]:  # others are lent the vectors of products like them
        listed = lists.targets[row][lists.targets[row] != NONE]
        np.testing.assert_allclose(lists.scores[row, : len(listed)], dots[row, listed], atol=1e-4)
        best = np.argsort(-np.where(np.arange(len(ids)) == row, -np.inf, dots[row]))[:10]
        assert listed[:10].tolist() == best.tolist()


def test_vectors_without_lists_are_not_published(shop: Shop) -> None:
    settings = shop.workspace.settings
    other = Workspace(
        settings.model_copy(update={"related": settings.related.model_copy(update={"layers": 1})})
    )
    steps = dag.run(other, shop.snapshot, {"related"})
    version = next(step.version for step in steps if step.space == "related")
    assert version is not None
    with pytest.raises(StateError, match="has no lists of answers") as error:
        releases.publish(other, version)
    assert f"--from {version.name}" in error.value.hint


def test_reasons_add_up_to_the_scores(shop: Shop, home: Home) -> None:
    lists, ids = open_lists(Path(shop.versions["ranking"].path)), product_ids(shop.snapshot)
    graph = load_graph(Path(shop.versions["graph"].path))
    degree = np.bincount(
        np.concatenate([*graph.copurchase.ends, *graph.coview.ends]), minlength=graph.products
    )
    for row in np.flatnonzero((degree > 0) & (lists.targets[:, 7] != NONE))[:3]:
        answer = home.related(ids[row], k=8, explain=True)
        reasons = [hit.reasons for hit in answer.hits]
        assert all(each and set(each) <= set(EVIDENCE) for each in reasons)
        # The contributions add up to the score but for the mean score, which is one number for all pairs.
        rest = [hit.score - sum((hit.reasons or {}).values()) for hit in answer.hits]
        np.testing.assert_allclose(rest, rest[0], atol=1e-3)
        assert len({round(hit.score, 6) for hit in answer.hits}) > 1


def test_reasons_are_there_over_http_when_asked_for(shop: Shop, home: Home) -> None:
    workspace = shop.workspace
    recommender = Recommender(workspace.index, "related_products", 128, workspace.settings.paths.versions)
    client = TestClient(create_app(Answerer(recommender, explainer=Explainer(workspace))))
    product = product_ids(shop.snapshot)[0]
    plain, explained = (
        client.get(f"/related/{product}", params={"k": 4, "explain": asked}).json() for asked in (False, True)
    )
    expected = home.related(product, k=4, explain=True)
    assert [hit["reasons"] for hit in plain["hits"]] == [None] * 4
    for hit, same in zip(explained["hits"], expected.hits, strict=True):
        assert hit["product"]["product_id"] == same.product.product_id
        assert hit["reasons"] == pytest.approx(same.reasons)


def test_gates_judge_the_lists_that_are_served(shop: Shop) -> None:
    """The release against itself: the figure is that of the test of its ranker, not that of its vectors."""
    quality = compare(shop.workspace, shop.release, shop.release)
    figures = {gate.figure: gate for gate, _ in quality.gates}
    metrics = shop.versions["ranking"].metrics
    assert quality.edges == metrics["edges"]
    for name in ("mrr_at_10", "hits_at_10"):
        assert figures[name].new == figures[name].live == pytest.approx(metrics[name])
        assert figures[name].new != pytest.approx(metrics[f"vectors_{name}"])
