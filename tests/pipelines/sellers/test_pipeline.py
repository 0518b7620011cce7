"""The spaces of sellers on the road of the tiny store: made, kept as features, asked for recommendations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from fastapi.testclient import TestClient
from feast import FeatureService
from typer.testing import CliRunner

from pipelines.command import app
from pipelines.sellers.space import SPACE
from tests.declared import declared
from twinvec import dag, releases
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.catalogue.synthetic import generate
from twinvec.dag import Step
from twinvec.doctor import diagnose
from twinvec.errors import CatalogueError, NotFoundError, SettingsError, StateError
from twinvec.features.manifest import Manifest
from twinvec.features.reading import read_vectors
from twinvec.features.repository import feast_objects
from twinvec.home import Home
from twinvec.serving.api import create_app
from twinvec.serving.http.answers import SellerAnswer
from twinvec.serving.opening import open_answerer
from twinvec.serving.rules import Condition, Rules
from twinvec.serving.sellers import recommend
from twinvec.settings import SellerSettings, Settings
from twinvec.settings.serving import ServingSettings
from twinvec.tracking import alias_uri, load_model
from twinvec.workspace import Workspace

NAME = "seller_recommendations"
OPTIONS = SellerSettings(dimension=32, epochs=1, blocks=1, batch=256, recall_at=20)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """With one snapshot, of the tiny store."""
    folder = tmp_path_factory.mktemp("sellers")
    generate(folder / "store", "tiny", seed=2, images=False, sellers=True)
    workspace = Workspace(Settings(home=folder / "home", sellers=OPTIONS))
    ingest(folder / "store", "parquet", workspace.settings, workspace.engine)
    yield workspace
    workspace.engine.dispose()


@pytest.fixture(scope="module")
def steps(home: Workspace) -> list[Step]:
    """Steps of the sellers alone, without text, which takes long."""
    with declared([SPACE]):
        made = dag.run(home, home.snapshot(), {"sellers"})
        again = dag.run(home, home.snapshot())
    assert [step.made for step in made] == [True, True]
    assert [(step.space, step.made) for step in again] == [("seller_products", False), ("sellers", False)]
    return made


def test_sellers_and_products_are_versions_of_one_model(home: Workspace, steps: list[Step]) -> None:
    products, sellers = (step.version for step in steps)
    assert products is not None
    assert sellers is not None
    manifests = [Manifest.from_json(version.manifest) for version in (products, sellers)]
    assert [manifest.entity for manifest in manifests] == ["product_id", "seller_id"]
    assert manifests[0].model == manifests[1].model
    assert manifests[1].inputs == {products.name: products.digest}
    assert products.metrics == sellers.metrics
    assert sellers.metrics["recall_at_20"] > 20 / manifests[0].rows
    buckets = [name for name in sellers.metrics if name.startswith("offers_products_")]
    assert sum(sellers.metrics[name] for name in buckets) == sellers.metrics["offers"] > 100
    assert (products.model_uri, sellers.model_uri) == (None, "models:/sellers/1")
    assert products.run_id == sellers.run_id
    blocks = load_model(home.settings, sellers, "", digest_of=lambda _: manifests[1].model)
    below = np.random.default_rng(1).standard_normal((7, OPTIONS.dimension)).astype(np.float32)
    answer = mlflow.pyfunc.load_model(sellers.model_uri).predict(below)
    np.testing.assert_allclose(answer, blocks(torch.from_numpy(below)).detach().numpy(), atol=1e-6)


def test_any_feast_client_reads_the_vectors_of_sellers(home: Workspace, steps: list[Step]) -> None:
    version = steps[1].version
    assert version is not None
    view = home.features.get_feature_view(version.view)
    assert view.entities == ["seller"]
    offers = pq.read_table(home.snapshot().table("offers"))["seller_id"].unique().to_pylist()
    read = read_vectors(home.features, version, [*offers, "nobody"])
    assert read.present.sum() == version.rows
    assert not read.present[-1]
    np.testing.assert_allclose(np.linalg.norm(read.only()[read.present], axis=1), 1, atol=1e-5)


def test_a_seller_is_recommended_the_nearest_candidates_it_does_not_offer(
    home: Workspace, steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    products, sellers = (step.version for step in steps)
    assert products is not None
    assert sellers is not None
    offers = pq.read_table(home.snapshot().table("offers")).to_pandas()
    sizes = offers.groupby("product_id").size()
    candidates = [
        row["product_id"]
        for row in pq.read_table(home.snapshot().table("products"), columns=["product_id"]).to_pylist()
        if sizes.get(row["product_id"], 0) < 10
    ]
    seller = offers["seller_id"].value_counts().index[0]
    own = set(offers.loc[offers["seller_id"] == seller, "product_id"])
    vector = read_vectors(home.features, sellers, [seller]).only()[0]
    read = read_vectors(home.features, products, candidates)
    assert read.present.all()
    assert products.rows == len(candidates)
    scores = dict(zip(candidates, (read.only() @ vector).tolist(), strict=True))
    wanted = sorted((name for name in candidates if name not in own), key=lambda name: -scores[name])[:7]
    found = recommend(home, seller, 7)
    assert [hit.product.product_id for hit in found.hits] == wanted
    np.testing.assert_allclose(
        [hit.score for hit in found.hits], [scores[name] for name in wanted], atol=1e-5
    )
    assert (found.version, found.offers) == (sellers.name, len(own))
    client = TestClient(create_app(open_answerer(home), ServingSettings(log=False), workspace=home))
    served = client.get(f"/sellers/{seller}", params={"k": 3, "exclude": wanted[0]}).json()
    assert [hit["product"]["product_id"] for hit in served["hits"]] == wanted[1:4]
    SellerAnswer.model_validate(served)
    assert client.get("/sellers/nobody").status_code == 404
    assert client.get(f"/sellers/{seller}", params={"version": "sellers@v99"}).status_code == 404
    rules = Rules(exclude=(wanted[0],), where=(Condition.parse(f"product_id!={wanted[1]}"),))
    ruled = Home(home).sellers(seller, 3, rules=rules)
    assert [hit.product.product_id for hit in ruled.hits] == wanted[2:5]
    # Three that meet a rule are found, however far down they are.
    every = sorted((name for name in candidates if name not in own), key=lambda name: -scores[name])
    last = every[-3:]
    rules = Rules(where=tuple(Condition.parse(f"product_id!={name}") for name in every[:-3]))
    ruled = Home(home).sellers(seller, 3, rules=rules)
    assert {hit.product.product_id for hit in ruled.hits} == set(last)
    monkeypatch.setenv("TWINVEC_HOME", str(home.settings.home))
    shown = CliRunner().invoke(
        app, ["sellers", "recommend", seller, "-n", "3", "--exclude", wanted[0], "--json"]
    )
    assert [hit["product"]["product_id"] for hit in json.loads(shown.stdout)["hits"]] == wanted[1:4]


def test_an_unknown_seller_is_an_error_that_says_why(home: Workspace, steps: list[Step]) -> None:
    with pytest.raises(NotFoundError, match=r"has no seller nobody\n.*names this seller"):
        recommend(home, "nobody", 3)
    assert steps[0].version is not None
    with pytest.raises(StateError, match=f"{steps[0].version.name} has no sellers"):
        recommend(home, "nobody", 3, steps[0].version.name)


def test_the_command_recommends_and_tells_the_reduction(
    home: Workspace, steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINVEC_HOME", str(home.settings.home))
    seller = pq.read_table(home.snapshot().table("offers"))["seller_id"][0].as_py()
    answer = CliRunner().invoke(app, ["sellers", "recommend", seller, "--top", "3", "--json"])
    assert answer.exit_code == 0, answer.output
    hits = json.loads(answer.stdout)["hits"]
    expected = [hit.product.product_id for hit in recommend(home, seller, 3).hits]
    assert [hit["product"]["product_id"] for hit in hits] == expected
    answer = CliRunner().invoke(app, ["sellers", "reduction", "--json"])
    counts = {row["what"]: row for row in json.loads(answer.stdout)["counts"]}
    assert counts["customers"]["after"] == 0
    assert counts["products"] == {"what": "products", "before": 500, "after": counts["products"]["after"]}
    answer = CliRunner().invoke(app, ["sellers", "recommend", "nobody"])
    assert answer.exit_code == 1
    assert "has no seller nobody" in answer.stderr


def test_published_candidates_are_recommended_as_by_an_exact_search(
    home: Workspace, steps: list[Step]
) -> None:
    products, sellers = (step.version for step in steps)
    assert products is not None
    assert sellers is not None
    seller = pq.read_table(home.snapshot().table("offers"))["seller_id"][0].as_py()
    exact = recommend(home, seller, 9, sellers.name)
    assert exact.release is None
    with pytest.raises(StateError, match="versions of seller_products are not released"):
        releases.publish(home, products)
    ready = releases.publish(home, sellers)
    assert ready.state == "ready"
    assert recommend(home, seller, 9).release is None
    published = releases.promote(home, ready)
    again = releases.publish(home, sellers)
    assert again.id == published.id
    assert (again.state, again.number) == ("live", 1)
    assert published.verification["points"] == home.index.count(published.collection) == products.rows
    assert home.index.aliases() == {"seller_recommendations": published.collection}
    found = recommend(home, seller, 9)
    assert found.release == published.collection == "seller_recommendations__v1"
    client = TestClient(create_app(open_answerer(home), ServingSettings(log=False), workspace=home))
    first = client.get(f"/sellers/{seller}?k=3")
    held = {"if-none-match": first.headers["etag"]}
    assert client.get(f"/sellers/{seller}?k=3", headers=held).status_code == 304
    assert client.get(f"/sellers/{seller}?k=4", headers=held).status_code == 200
    # Scores that are equal may come in another order.
    scores = [[hit.score for hit in each.hits] for each in (found, exact)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)
    assert {hit.product.product_id for hit in found.hits[:8]} <= {
        hit.product.product_id for hit in exact.hits
    }
    service = home.features.get_feature_service("seller_recommendations")
    online = home.features.get_online_features(
        features=service, entity_rows=[{"seller_id": seller}]
    ).to_dict()
    stored = read_vectors(home.features, sellers, [seller]).only()[0]
    np.testing.assert_allclose(online["sellers_vector"][0], stored, atol=1e-6)


def test_another_version_takes_the_place_and_a_rollback_brings_the_first_back(
    home: Workspace, steps: list[Step]
) -> None:
    first = steps[1].version
    assert first is not None
    with declared([SPACE]):
        second = dag.run(home, home.snapshot(), {"sellers"}, force=True)[1].version
    assert second is not None
    releases.promote(home, releases.publish(home, first))
    promoted = releases.promote(home, releases.publish(home, second))
    # Of the same snapshot and settings, it is the same: the gates find that out.
    figures = {gate["figure"]: gate for gate in promoted.verification["gates"]["figures"]}
    assert set(figures) == {"recall_at_20", "gone", "changed_top_10"}
    assert figures["recall_at_20"]["new"] == figures["recall_at_20"]["live"] == second.metrics["recall_at_20"]
    assert figures["changed_top_10"]["new"] == 0
    for release, version, number in (
        (promoted, second, 2),
        (releases.rollback(home, name=NAME), first, 1),
    ):
        assert release.number == number
        live = releases.live(home, NAME)
        assert live is not None
        if number == 1:
            assert live.version.name == version.name
            assert home.index.aliases() == {NAME: release.collection}
            tags = home.features.get_feature_service(NAME).tags
            assert (tags["sellers"], tags["collection"]) == (version.name, release.collection)
            alias = alias_uri(home.settings, "sellers", f"{NAME}_live")
            assert alias == version.model_uri
            assert alias_uri(home.settings, "sellers", "live") is None
    assert diagnose(home.settings) == []
    applied = {each.name: each for each in feast_objects(home.settings) if isinstance(each, FeatureService)}
    assert set(applied) == {
        "seller_recommendations",
        "seller_recommendations__v1",
        "seller_recommendations__v2",
    }
    for name, service in applied.items():
        views = [projection.name for projection in service.feature_view_projections]
        kept = home.features.get_feature_service(name)
        assert views == [projection.name for projection in kept.feature_view_projections]


def test_a_source_without_offers_has_no_such_stages(
    home: Workspace, tmp_path: Path, steps: list[Step]
) -> None:
    generate(tmp_path / "plain", "tiny", seed=2, images=False)
    plain: Snapshot = ingest(tmp_path / "plain", "parquet", home.settings, home.engine).snapshot
    with declared([SPACE]):
        assert dag.run(home, plain) == []
        assert dag.standing(home, plain) == []
        asked = dag.run(home, plain, {"sellers"})
    assert [(step.version, step.made) for step in asked] == [(None, False), (None, False)]
    assert asked[0].reason == "skipped: the source has no table `offers`"


def test_an_ablation_needs_offers(home: Workspace, tmp_path: Path) -> None:
    from pipelines.comparisons import waml
    from pipelines.comparisons.comparison import Request
    from pipelines.comparisons.runner import run

    generate(tmp_path / "plain", "tiny", seed=2, images=False)
    plain = ingest(tmp_path / "plain", "parquet", home.settings, home.engine).snapshot
    with pytest.raises(CatalogueError, match="no table `offers`"):
        run(waml.COMPARISON, Request(home, plain, lambda message: None))


def test_an_ablation_compares_its_rows_with_the_whole_model(
    home: Workspace, steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.comparisons import waml
    from pipelines.comparisons.comparison import Request
    from pipelines.comparisons.runner import run

    version = steps[0].version
    assert version is not None
    monkeypatch.setattr(dag, "run", lambda *_arguments, **_options: [])  # text, which takes long
    request = Request(home, home.snapshot(version.snapshot_id), lambda message: None)
    rows = run(waml.COMPARISON, request, ["- feed-forward", "waml"])
    part, whole = rows
    # The model of the version: of the same settings and seed, it is the same.
    assert whole.recall == version.metrics["recall_at_20"]
    assert (whole.relative, part.relative) == (1.0, part.recall / whole.recall)
    assert (part.parameters, part.epochs, part.seconds_an_epoch) == (0, 0, None)
    assert whole.parameters > 0
    with pytest.raises(SettingsError, match="no row - magic"):
        run(waml.COMPARISON, request, ["- magic"])
