"""Search relevance: trained for each region, released, asked, promoted and rolled back like the other spaces."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from pipelines.command import app
from pipelines.relevance.graph_files import open_neighbourhoods
from pipelines.relevance.judged import Split, read_judged
from pipelines.relevance.labels import label_pairs
from pipelines.relevance.packaging import load_model
from pipelines.relevance.problem import predict, read_problem
from pipelines.relevance.service import RelevanceService, load_version
from tests.declared import declared
from tests.pipelines.relevance.conftest import SPACES
from twinvec import dag, releases
from twinvec.doctor import diagnose
from twinvec.errors import CatalogueError, NotFoundError, StateError
from twinvec.home import Home
from twinvec.releases.gates import GateError
from twinvec.serving.api import create_app
from twinvec.serving.http.routes.relevance import RelevanceAnswer
from twinvec.serving.opening import open_answerer
from twinvec.serving.related import NewProduct
from twinvec.settings import Settings
from twinvec.settings.serving import ServingSettings
from twinvec.tracking import alias_uri
from twinvec.workspace import Workspace

NAME = "search_relevance"


@pytest.fixture(scope="module")
def live(home: Any) -> Any:
    """The same home with its first release live."""
    version = home.steps["relevance"].version
    with declared(SPACES):
        release = releases.publish(home.workspace, version)
        assert (release.label, release.state) == (f"{NAME}@v1", "ready")
        assert releases.publish(home.workspace, version).id == release.id
        assert releases.promote(home.workspace, release).state == "live"
    return home


def test_splits_are_by_query_and_classes_follow_the_setting(home: Any) -> None:
    options = home.workspace.settings.relevance
    judged = read_judged(home.workspace.snapshot(), options, seed=0)
    table = pa.table({"query": judged.pairs.query_nodes, "split": judged.split})
    per_query = table.group_by("query").aggregate([("split", "count_distinct"), ("split", "min")])
    assert pc.max(per_query["split_count_distinct"]).as_py() == 1
    shares = np.bincount(per_query["split_min"].to_numpy()) / len(per_query)
    np.testing.assert_allclose(shares, [0.64, 0.16, 0.2], atol=0.07)
    merged = read_judged(home.workspace.snapshot(), options.model_copy(update={"classes": "E-S-CI"}), seed=0)
    assert merged.names == ("E", "S", "CI")
    np.testing.assert_array_equal(merged.classes, np.minimum(judged.classes, 2))
    np.testing.assert_array_equal(merged.split, judged.split)


def test_a_version_has_a_model_for_each_region(home: Any) -> None:
    version = home.steps["relevance"].version
    rows = pq.read_table(Path(version.path) / "vectors").to_pylist()
    assert [row["locale"] for row in rows] == ["br", "es", "mx", "us"]
    assert len({row["model"] for row in rows}) == 4
    assert sum(row["judgements"] for row in rows) == version.metrics["judgements"] == 1_600
    assert version.metrics["macro_f1"] > 0.1
    assert {
        "macro_f1_us",
        "macro_f1_known_queries",
        "macro_f1_one_phase",
        "recall_E",
    } <= version.metrics.keys()
    assert {each.partition("@")[0] for each in version.manifest["inputs"]} == {
        "search_nodes",
        "neighbourhoods",
    }
    home.workspace.features.get_feature_view(version.view)
    again = dag.run(home.workspace, home.workspace.snapshot(), {"relevance"})
    assert not any(step.made for step in again)


def test_answers_are_those_of_the_trained_models(live: Any) -> None:
    workspace, version = live.workspace, live.steps["relevance"].version
    service = RelevanceService(workspace)
    _, loaded = service.opened()
    judged = read_judged(workspace.snapshot(), workspace.settings.relevance, seed=0)
    files = open_neighbourhoods(
        Path(live.steps["neighbourhoods"].version.path), Path(live.steps["search_nodes"].version.path)
    )
    model, reader = load_model(loaded.folder, "us", loaded.recipe, loaded.device)
    problem = read_problem(judged.pairs, files, reader)
    # A text that several queries share is that of the first of them.
    first = {f"q:{query_id}" for query_id, _ in loaded.queries.values()}
    rows = judged.rows(Split.TEST, "us")
    rows = np.array([row for row in rows if judged.pairs.query_nodes[row].as_py() in first])[:12]
    expected = predict(model, problem, rows, 5, loaded.device)
    tested = pq.read_table(Path(version.path) / "tested.parquet")
    for row, probabilities in zip(rows, expected, strict=True):
        pair = judged.pairs.take(np.array([row]))
        query, product = pair.queries[0].as_py(), pair.product_nodes[0].as_py().removeprefix("p:")
        answer = service.relevance(query.upper(), [product], "us")
        (found,) = answer.products
        np.testing.assert_allclose(list(found.probabilities.values()), probabilities, atol=1e-5)
        assert found.label == judged.names[int(probabilities.argmax())]
        assert found.by_graph == problem.known[row]
        assert (answer.known_query, answer.model, answer.release) == (True, "us", f"{NAME}__v1")
    assert len(tested) == len(judged.rows(Split.TEST))
    assert 0 < problem.known[judged.rows(Split.TEST)].mean() < 1


def test_the_models_load_by_pyfunc(live: Any) -> None:
    version = live.steps["relevance"].version
    products = pq.read_table(live.workspace.snapshot().table("products"))["product_id"].to_pylist()[:4]
    query = "something that nobody has asked"
    answer = Home(live.workspace).relevance(query, products, locale="us")
    _, loaded = RelevanceService(live.workspace).opened()
    mlflow.set_tracking_uri(live.workspace.settings.tracking_uri())
    served = mlflow.pyfunc.load_model(version.model_uri)
    titles = loaded.titles(products, "us")
    found = served.predict(pd.DataFrame({"query": query, "product": titles, "locale": "us"}))
    for place, product in enumerate(answer.products):
        assert product.label == found["label"][place]
        for name, probability in product.probabilities.items():
            assert found[name][place] == pytest.approx(probability, abs=1e-5)
    assert list(served.input_example.columns) == ["query", "product", "locale"]


def test_an_unknown_query_and_an_unknown_region_are_answered_by_text(live: Any) -> None:
    shop = Home(live.workspace)
    products = pq.read_table(live.workspace.snapshot().table("products"))["product_id"].to_pylist()[:3]
    answer = shop.relevance("something that nobody has asked", products, locale="jp")
    assert (answer.known_query, answer.model) == (False, "all regions")
    assert [each.product_id for each in answer.products] == products
    assert not any(each.by_graph for each in answer.products)
    assert all(sum(each.probabilities.values()) == pytest.approx(1) for each in answer.products)
    assert shop.relevance("phone case", products[:1]).locale == "us"
    with pytest.raises(NotFoundError, match="has no product nothing, nor 1 others"):
        shop.relevance("phone case", ["nothing", products[0], "nor this"])
    with pytest.raises(StateError, match="the query is empty"):
        shop.relevance("  ", products)
    with pytest.raises(NotFoundError, match="there is no release name 'relevance'"):
        shop.relevance("phone case", products, name="relevance")


def test_relevance_over_http_is_that_of_the_home(live: Any) -> None:
    answerer = open_answerer(live.workspace)
    client = TestClient(create_app(answerer, ServingSettings(log=False), workspace=live.workspace))
    products = pq.read_table(live.workspace.snapshot().table("products"))["product_id"].to_pylist()[:5]
    asked = {"query": "phone case", "product_ids": products, "locale": "us"}
    # Several at once, the first of which loads the models: the tokenizer is not shared by two threads.
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: client.post("/relevance", json=asked), range(4)))
    expected = Home(live.workspace).relevance("phone case", products, "us")
    for answer in answers:
        assert (answer.status_code, answer.headers["x-release"]) == (200, f"{NAME}__v1"), answer.text
        found = RelevanceAnswer.model_validate(answer.json())
        assert (found.version, found.locale, found.model) == (expected.version, "us", expected.model)
        for one, wanted in zip(found.products, expected.products, strict=True):
            assert (one.product_id, one.label) == (wanted.product_id, wanted.label)
            assert one.probabilities == pytest.approx(wanted.probabilities, abs=1e-5)
    # A product that is described is read by its text alone, after those of the catalogue.
    described = [{"title": "Case for a phone, red"}, {"category": "Phones > Cases"}]
    mixed = client.post("/relevance", json={**asked, "products": described, "release": "v1"})
    assert mixed.status_code == 200, mixed.text
    found = RelevanceAnswer.model_validate(mixed.json())
    assert [each.product_id for each in found.products] == [*products, None, None]
    assert not any(each.by_graph for each in found.products[-2:])
    assert found.products[0].probabilities == pytest.approx(expected.products[0].probabilities, abs=1e-5)
    alone = Home(live.workspace).relevance(
        "phone case", [NewProduct(category="Phones > Cases")], "us", release="search_relevance@v1"
    )
    assert alone.products[0].probabilities == pytest.approx(found.products[-1].probabilities, abs=1e-5)
    assert client.post("/relevance", json={**asked, "release": "v9"}).status_code == 404
    unknown = client.post("/relevance", json={**asked, "product_ids": ["nothing"]})
    assert unknown.status_code == 404
    assert "has no product nothing" in unknown.json()["detail"]
    wrong: list[dict[str, Any]] = [
        {"query": "  "},
        {"query": ""},
        {"product_ids": []},
        {"product_ids": ["x"] * 1001},
        {"lokale": "us"},
        {"products": [{}]},
    ]
    for each in wrong:
        assert client.post("/relevance", json={**asked, **each}).status_code == 422, each
    body = client.get("/openapi.json").json()["components"]["schemas"]["RelevanceBody"]["properties"]
    assert body["product_ids"]["examples"] == [["B07XYZ", "B08ABC"]]


def test_an_api_without_a_live_release_says_so(home: Any, tmp_path: Path) -> None:
    empty = Workspace(Settings(home=tmp_path / "home"))
    client = TestClient(create_app(open_answerer(empty), ServingSettings(log=False), workspace=empty))
    answer = client.post("/relevance", json={"query": "phone case", "product_ids": ["x"]})
    assert (answer.status_code, answer.json()["detail"]) == (503, "no release of search relevance is live")
    empty.close()


def test_labels_of_a_file_are_kept_by_query_and_product(live: Any, tmp_path: Path) -> None:
    workspace = live.workspace
    loaded = load_version(workspace, live.steps["relevance"].version)
    judged = pq.read_table(workspace.snapshot().table("judgements")).to_pandas().head(300)
    queries = pq.read_table(workspace.snapshot().table("queries")).to_pandas()
    pairs = judged[["query_id", "product_id"]]
    text = queries["text"][0]
    more = pd.DataFrame(
        {
            "query_id": [None, None, "nobody", pairs["query_id"][0]],
            "query": [text.upper(), "Brand New", None, None],
            "product_id": ["nothing", pairs["product_id"][0], pairs["product_id"][0], pairs["product_id"][0]],
        }
    )
    pd.concat([pairs, more]).to_parquet(tmp_path / "pairs.parquet")
    messages: list[str] = []
    done = label_pairs(
        workspace, loaded, tmp_path / "pairs.parquet", tmp_path / "out" / "labels.parquet", messages.append
    )
    assert (done.pairs, done.unknown_products, done.unknown_queries) == (301, 1, 1)
    assert messages[-1] == "301 of 304 pairs"
    labels = pq.read_table(done.output).to_pandas()
    assert labels["query_id"].iloc[-1] == "brand new"
    assert labels["by_graph"].sum() == done.by_graph > 0
    service = RelevanceService(workspace)
    for row in labels.iloc[[0, 150]].itertuples():
        known = queries.set_index("query_id").loc[row.query_id]
        (one,) = service.relevance(known["text"], [str(row.product_id)], known["locale"]).products
        assert one.label == row.label
        np.testing.assert_allclose(row.probability_E, one.probabilities["E"], atol=1e-5)

    view = workspace.features.get_feature_view(done.version.replace("@", "__"))
    assert view.entities == ["query", "product"]
    asked = labels[["query_id", "product_id"]].iloc[[5, 7]].assign(event_timestamp=pd.Timestamp.now(tz="UTC"))
    read = workspace.features.get_historical_features(
        entity_df=asked, features=[f"{view.name}:label"]
    ).to_df()
    joined = read.merge(labels, on=["query_id", "product_id"], suffixes=("", "_expected"))
    assert len(joined) == 2
    assert (joined["label"] == joined["label_expected"]).all()

    odd, out = tmp_path / "odd.parquet", tmp_path / "odd-labels.parquet"
    pairs[["product_id"]].to_parquet(odd)
    with pytest.raises(CatalogueError, match=r"has the columns product_id\n.*`query_id` or `query`"):
        label_pairs(workspace, loaded, odd, out, messages.append)
    assert not out.exists()


def test_the_command_answers(live: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TWINVEC_HOME", str(live.workspace.settings.home))
    products = pq.read_table(live.workspace.snapshot().table("products"))["product_id"].to_pylist()[:2]
    result = CliRunner().invoke(app, ["relevance", "phone case", *products, "--locale", "us", "--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert [each["product_id"] for each in answer["products"]] == products
    assert {each["label"] for each in answer["products"]} <= set("ESCI")
    new = ["relevance", "phone case", "--title", "Case for a phone", "--release", "v1", "--json"]
    (one,) = json.loads(CliRunner().invoke(app, new).stdout)["products"]
    assert one["product_id"] is None
    refused = CliRunner().invoke(app, ["relevance", "phone case"])
    assert refused.exit_code == 2
    status = CliRunner().invoke(app, ["status", "--release", NAME, "--json"])
    assert json.loads(status.stdout)["live"] == f"{NAME}__v1"


def test_a_second_release_passes_gates_and_is_rolled_back(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = live.workspace.settings
    assert alias_uri(settings, "relevance", f"{NAME}_live") == "models:/relevance/1"
    text = {"graph": "none", "pretrain_epochs": 1, "epochs": 0}
    changed = Settings(
        **settings.model_dump(exclude={"relevance", "seed"}),
        relevance={**settings.relevance.model_dump(), **text},
    )
    other = Workspace(changed)
    second = dag.run(other, other.snapshot(), {"relevance"})[-1].version
    assert second is not None
    release = releases.publish(other, second)
    strict = Workspace(
        changed.model_copy(update={"relevance": changed.relevance.model_copy(update={"min_macro_f1": 0.99})})
    )
    with pytest.raises(GateError, match=r"macro_f1 .*relevance.min_macro_f1 0.99"):
        releases.promote(strict, release)
    strict.close()
    promoted = releases.promote(other, release, force=True)
    figures = {each["figure"] for each in promoted.verification["gates"]["figures"]}
    assert {"macro_f1", "recall_E", "recall_I", "macro_f1_both", "gone"} <= figures
    assert alias_uri(settings, "relevance", f"{NAME}_live") == "models:/relevance/2"
    service = RelevanceService(live.workspace)
    assert service.opened()[1].version.name == second.name
    assert service.opened("v1")[0].label == f"{NAME}@v1"
    assert not service.opened()[1].warm
    service.warm()
    assert service.opened()[1].warm
    assert not service.opened()[1].node_ids
    assert releases.rollback(live.workspace, name=NAME).label == f"{NAME}@v1"
    assert RelevanceService(live.workspace).opened()[0].label == f"{NAME}@v1"
    assert alias_uri(settings, "relevance", f"{NAME}_live") == "models:/relevance/1"
    assert diagnose(settings) == []
    other.close()
