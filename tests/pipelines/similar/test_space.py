"""The space `similar` from a synthetic store to a release: training, queries, cold start, gates, update, Feast."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fastapi.testclient import TestClient
from feast import FeatureStore
from typer.testing import CliRunner

import twinvec
from pipelines.command import app
from pipelines.comparisons.comparison import Request
from pipelines.comparisons.similar import prepare
from pipelines.similar import evaluation
from pipelines.similar.encoding import encode, load_encoders
from pipelines.similar.evaluation import divide
from pipelines.similar.judging import compare
from pipelines.similar.listings import read_labels, reason_to_skip
from pipelines.update.pipeline import update
from registry.models import Release, Version
from twinvec.catalogue.synthetic import generate
from twinvec.errors import CatalogueError, StoreError
from twinvec.home import Home
from twinvec.serving.api import create_app
from twinvec.serving.http.routes.similar import SimilarAnswer
from twinvec.serving.opening import open_answerer
from twinvec.serving.related import UnknownProductError, UnusableProductError
from twinvec.serving.similar import NewListing
from twinvec.settings.serving import ServingSettings
from twinvec.tracking import alias_uri

SETTINGS = {
    "words": ["title", "attributes"],
    "max_length": 24,
    "image_size": 32,
    "epochs": 4,
    "dimension": 32,
    "hidden": 64,
    "batch": 64,
    "test": 0.3,
}


@dataclass(frozen=True)
class Made:
    """A home with a live release of `similar`."""

    home: Home
    store: Path
    version: Version
    release: Release


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("similar")
    generate(folder / "store", 200, seed=2, listings=True)
    with twinvec.open(folder / "home", device="cpu", similar=SETTINGS) as home:
        home.ingest(folder / "store")
        (step,) = home.train("similar")
        assert step.version is not None
        home.publish("similar", name="similar_products")
        yield Made(home, folder / "store", step.version, home.promote(name="similar_products"))


def listings(store: Path, condition: str) -> list[tuple[str, str, str]]:
    query = (
        f"SELECT item_id, product_id, family_id FROM '{store}/listings.parquet' WHERE {condition} ORDER BY 1"
    )
    rows: list[tuple[str, str, str]] = duckdb.execute(query).fetchall()
    return rows


def test_a_version_is_of_all_listings_and_says_how_good_it_is(made: Made) -> None:
    items = [item for item, _, _ in listings(made.store, "true")]
    vectors = made.home.vectors(made.version.name)
    assert vectors.keys.to_pylist() == items
    np.testing.assert_allclose(np.linalg.norm(vectors.to_numpy()["similar_vector"], axis=1), 1, atol=1e-5)
    metrics = made.version.metrics
    assert metrics["ndcg_at_20"] > 0.6
    assert metrics["queries"] > 50
    assert {"recall_at_20_store_us", "recall_at_20_en_to_es", "exact_from"} <= metrics.keys()
    assert 0.5 < metrics["with_image"] < 0.9
    assert made.home.train("similar")[0].reason == "up to date"

    # MLflow's own client computes the same.
    settings, snapshot = made.home.settings, made.home.workspace.snapshot()
    labels = read_labels(snapshot, settings.seed)
    encoders = load_encoders(snapshot, settings, torch.device("cpu"))
    content = encode(snapshot, labels, settings, encoders, print)
    places = torch.arange(len(content))
    served = mlflow.pyfunc.load_model(made.version.model_uri)
    inputs = [each.name for each in served.metadata.signature.inputs]
    tensors = [each.numpy() for each in content.of(places, torch.device("cpu"))]
    answer = served.predict(dict(zip(inputs, tensors, strict=True)))
    np.testing.assert_allclose(answer, vectors.to_numpy()["similar_vector"], atol=1e-5)


def test_held_out_families_are_whole_and_stay_when_listings_come(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = made.home.workspace.snapshot()
    labels = read_labels(snapshot, seed=0)
    assert labels.matrix(("product", "family", "category")).dtype == np.int32
    division = divide(labels, made.home.settings.similar)
    parts = [set(labels.levels["family"][rows].tolist()) for rows in vars(division).values()]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts)) == labels.levels["family"].max() + 1
    monkeypatch.setattr(evaluation, "MOST_RANKED", 12)
    few = divide(labels, made.home.settings.similar)
    np.testing.assert_array_equal(few.training, division.training)
    family = labels.levels["family"]
    for some, whole in ((few.validation, division.validation), (few.test, division.test)):
        assert 0 < len(some) <= 12 < len(whole)
        assert sorted(some) == [row for row in whole if family[row] in family[some]]
    assert not (read_labels(snapshot, seed=1).share["family"] == labels.share["family"]).any()


def test_another_listing_of_the_product_is_found_first_in_its_store(made: Made) -> None:
    item, product, family = listings(made.store, "marketplace = 'us' AND language = 'es'")[0]
    answer = made.home.similar(item, k=5)
    assert (answer.release, answer.item_id) == (made.release.collection, item)
    assert len(answer.hits) == 5
    assert item not in [hit.item_id for hit in answer.hits]
    assert [hit.score for hit in answer.hits] == sorted((hit.score for hit in answer.hits), reverse=True)
    listed = pq.read_table(made.store / "listings.parquet").to_pylist()
    currencies = {row["item_id"]: row["currency"] for row in listed}
    for hit in answer.hits:
        assert hit.currency == currencies[hit.item_id]
        assert hit.known == (hit.family_id == family)
        if hit.known:
            assert hit.relation == ("exact" if hit.product_id == product else "substitute")
    exact = made.home.similar(item, k=50, exact_only=True)
    assert {hit.relation for hit in exact.hits} == {"exact"}
    assert product in [hit.product_id for hit in exact.hits]
    assert {hit.marketplace for hit in made.home.similar(item, marketplace="mx").hits} == {"mx"}


def test_a_product_is_asked_by_its_listing_in_the_store(made: Made) -> None:
    ((product,), *_) = duckdb.execute(
        f"""SELECT product_id FROM '{made.store}/listings.parquet' GROUP BY 1
            HAVING bool_or(marketplace = 'es') AND bool_or(marketplace = 'us') ORDER BY 1"""
    ).fetchall()
    assert made.home.similar(product, marketplace="es").item_id == f"{product}@es:es"
    with pytest.raises(UnknownProductError, match="'nothing' is no listing or product among the"):
        made.home.similar("nothing")


def test_listings_are_found_over_http(made: Made) -> None:
    settings = ServingSettings(log=False)
    workspace = made.home.workspace
    client = TestClient(create_app(open_answerer(workspace), settings, workspace=workspace))
    item, _, _ = listings(made.store, "marketplace = 'us'")[0]
    found = client.get(f"/similar/{item}", params={"k": 3, "marketplace": "mx"})
    assert found.status_code == 200, found.text
    expected = made.home.similar(item, k=3, marketplace="mx")
    answered = [(hit["item_id"], hit["relation"], hit["known"]) for hit in found.json()["hits"]]
    assert answered == [(hit.item_id, hit.relation, hit.known) for hit in expected.hits]
    SimilarAnswer.model_validate(found.json())
    assert client.get("/similar/nothing").status_code == 404
    refused = client.get(f"/similar/{item}?marketplace=uk")
    assert refused.status_code == 422
    assert refused.json()["detail"] == f"no product of {made.release.collection} is of the marketplace 'uk'"
    path, held = f"/similar/{item}?k=3&marketplace=mx", {"if-none-match": found.headers["etag"]}
    assert client.get(path, headers=held).status_code == 304
    assert client.get(f"/similar/{item}?k=4&marketplace=mx", headers=held).status_code == 200
    new = client.post("/similar?k=2", json={"title": "Red shoe", "attributes": {"heel": "flat"}})
    wanted = made.home.similar(NewListing(title="Red shoe", attributes={"heel": "flat"}), k=2)
    assert [hit["item_id"] for hit in new.json()["hits"]] == [hit.item_id for hit in wanted.hits]
    assert not any(hit["known"] for hit in new.json()["hits"]), "the catalogue knows nothing of a new listing"
    assert client.post("/similar", json={"titel": "x"}).status_code == 422


def test_a_new_listing_is_placed_as_the_catalogue_was(made: Made) -> None:
    row = duckdb.execute(
        f"""SELECT item_id, title, brand, colour, size, attributes FROM '{made.store}/listings.parquet'
            WHERE image IS NULL AND marketplace = 'mx' LIMIT 1"""
    ).fetchall()[0]
    item, title, brand, colour, size, attributes = row
    new = NewListing(title, None, brand, colour, size, attributes)
    answer = made.home.similar(new)
    assert answer.item_id is None
    # Listings that say the same have the same vector.
    assert item in [hit.item_id for hit in answer.hits if hit.score == pytest.approx(1, abs=1e-4)]
    with pytest.raises(UnusableProductError, match="nothing is said"):
        made.home.similar(NewListing())
    with pytest.raises(UnusableProductError, match="image cannot be used"):
        made.home.similar(NewListing(image=b"no image"))


def test_the_command(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINVEC_HOME", str(made.home.settings.home))
    item = listings(made.store, "marketplace = 'br'")[0][0]
    answer = CliRunner().invoke(app, ["similar", item, "-k", "3", "--marketplace", "us", "--json"])
    assert answer.exit_code == 0, answer.output
    hits = json.loads(answer.output)["hits"]
    assert [hit["marketplace"] for hit in hits] == ["us"] * 3
    shown = CliRunner().invoke(app, ["similar", item])
    assert "told by" in shown.output
    assert "catalogue" in shown.output
    both = CliRunner().invoke(app, ["similar", item, "--title", "Cup"])
    assert both.exit_code == 2


def test_features_and_models_are_keyed_by_listing(made: Made) -> None:
    items = [item for item, _, _ in listings(made.store, "true")][:3]
    store = FeatureStore(repo_path=str(made.home.settings.home))
    row = store.get_online_features(
        store.get_feature_service("similar_products"), [{"item_id": item} for item in items]
    ).to_dict()
    np.testing.assert_allclose(
        row["similar_vector"], made.home.vectors("similar", items).to_numpy()["similar_vector"], atol=1e-6
    )
    assert alias_uri(made.home.settings, "similar", "similar_products_live") is not None


def test_gates_compare_recall_and_ndcg_of_held_out_families(made: Made) -> None:
    quality = compare(made.home.workspace, made.version, made.version)
    assert [gate.figure for gate, _ in quality.gates] == ["recall_at_20", "ndcg_at_20"]
    assert all(
        gate.passed and gate.new == gate.live == made.version.metrics[gate.figure]
        for gate, _ in quality.gates
    )
    assert quality.edges == made.version.metrics["queries"]


def test_an_update_gives_new_listings_vectors_by_the_live_model(made: Made, tmp_path: Path) -> None:
    later = tmp_path / "later"
    shutil.copytree(made.store, later)
    table = pq.read_table(later / "listings.parquet")
    new = table.slice(0, 1).set_column(0, "item_id", pa.array(["new@us:en"]))
    pq.write_table(pa.concat_tables([table.slice(5), new.cast(table.schema)]), later / "listings.parquet")
    home = made.home
    home.ingest(later)
    before = home.vectors("similar").to_numpy()["similar_vector"]
    report = update(home.workspace, home.workspace.snapshot(), name="similar_products")
    assert report.release == "similar_products@v2"
    after = home.vectors("similar")
    old = home.vectors(made.version.name)
    assert len(after) == len(old) - 4
    kept = [key for key in after.keys.to_pylist() if key != "new@us:en"]
    np.testing.assert_allclose(
        home.vectors("similar", kept).to_numpy()["similar_vector"],
        home.vectors(made.version.name, kept).to_numpy()["similar_vector"],
        atol=1e-5,
    )
    assert before.shape[0] == len(old)
    twin = home.similar("new@us:en", k=1).hits[0]
    assert twin.score == pytest.approx(1, abs=1e-4) or table["item_id"][0].as_py() not in kept
    with (
        twinvec.open(home.settings.home, device="cpu", similar=SETTINGS | {"words": ["title"]}) as other,
        pytest.raises(
            StoreError, match=r"similar.words was \[.*\], is \['title'\]\n  hint: .*similar --force"
        ),
    ):
        other.similar(NewListing("Cup"))


def test_a_catalogue_of_one_family_has_nothing_to_learn(made: Made, tmp_path: Path) -> None:
    table = pq.read_table(made.store / "listings.parquet")
    for name, families in (("one", ["F"] * len(table)), ("each", None)):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(made.store / "products.parquet", folder)
        rows = (
            table.slice(0, 20) if families is None else table.set_column(2, "family_id", pa.array(families))
        )
        if families is None:
            own = rows["item_id"].to_pylist()
            rows = rows.set_column(2, "family_id", pa.array(own)).filter(
                pa.array([each.endswith("@us:en") for each in own])
            )
        pq.write_table(rows, folder / "listings.parquet")
        with twinvec.open(tmp_path / f"home-{name}", device="cpu") as home:
            snapshot = home.ingest(folder).snapshot
            reason = reason_to_skip(snapshot, home.settings)
            assert reason is not None
            expected = "of 1 family" if name == "one" else "no product has a second listing or a family"
            assert expected in reason
            (step,) = home.train("similar")
            assert step.version is None
            request = Request(home.workspace, snapshot, lambda _message: None)
            with pytest.raises(CatalogueError, match=expected):
                prepare(request)
