"""Training of the text encoder with the fusion: what is learnt, kept, served, and refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from feast import FeatureStore
from mlflow import MlflowClient
from pydantic import ValidationError

import twinvec
from pipelines.comparisons import similar
from pipelines.comparisons.comparison import Request
from pipelines.comparisons.runner import run
from pipelines.similar.encoding import encode, text_encoder
from pipelines.similar.listings import read_labels
from pipelines.similar.models import load_models
from pipelines.similar.serving import NewListings
from pipelines.similar.tuning import tuned
from pipelines.update.pipeline import update
from registry.models import Version
from tests.encoders import write_small_encoder
from twinvec.catalogue.synthetic import generate
from twinvec.errors import SettingsError, StoreError
from twinvec.home import Home
from twinvec.serving.similar import NewListing
from twinvec.settings.similar import SimilarSettings
from twinvec.tracking import model_digest

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Made:
    """A home with a live release of `similar` whose text encoder was trained."""

    home: Home
    store: Path
    version: Version
    options: dict[str, object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("tuning")
    generate(folder / "store", 200, seed=2, images=False, listings=True)
    options: dict[str, object] = {
        "text_model": str(write_small_encoder(folder)),
        "words": ["title", "attributes"],
        "max_length": 16,
        "images": False,
        "epochs": 3,
        "dimension": 16,
        "hidden": 32,
        "batch": 64,
        "test": 0.3,
        "tune": "text",
        "tuning": {"epochs": 3, "learning_rate": 1e-3, "precision": "float32"},
    }
    with twinvec.open(folder / "home", device="cpu", similar=options) as home:
        home.ingest(folder / "store")
        (step,) = home.train("similar")
        assert step.version is not None
        home.publish("similar", name="similar_products")
        home.promote(name="similar_products")
        yield Made(home, folder / "store", step.version, options)


def vectors(made: Made, version: str) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return made.home.vectors(version).to_numpy()["similar_vector"]


def test_the_encoder_learns_and_its_version_keeps_it(made: Made) -> None:
    options = made.home.settings.similar
    before, after = text_encoder(options, CPU), load_models(made.home.settings, made.version, CPU).text
    changed = [
        name
        for name, value in after.state_dict().items()
        if not torch.equal(value, before.state_dict()[name])
    ]
    assert any("layer.0" in name for name in changed)
    assert any("layer.1" in name for name in changed)
    assert all(value.dtype == torch.float32 for value in after.parameters())
    client = MlflowClient()
    history = client.get_metric_history(str(made.version.run_id), "tuning_loss")
    assert history[-1].value < history[0].value
    assert client.get_run(str(made.version.run_id)).data.metrics["tuning_validation_ndcg"] > 0


def test_a_new_listing_gets_the_vector_of_the_version(made: Made) -> None:
    item, title, brand, colour, size, attributes = duckdb.execute(
        f"""SELECT item_id, title, brand, colour, size, attributes FROM '{made.store}/listings.parquet'
            WHERE marketplace = 'mx' AND cardinality(attributes) > 0 LIMIT 1"""
    ).fetchall()[0]
    encoded = NewListings(made.home.workspace, made.version).encode(
        NewListing(title, None, brand, colour, size, attributes)
    )
    kept = made.home.vectors(made.version.name, [item]).to_numpy()["similar_vector"][0]
    np.testing.assert_allclose(encoded, kept, atol=1e-5)
    store = FeatureStore(repo_path=str(made.home.settings.home))
    row = store.get_online_features(
        store.get_feature_service("similar_products"), [{"item_id": item}]
    ).to_dict()
    np.testing.assert_allclose(row["similar_vector"][0], encoded, atol=1e-5)
    assert item in [
        hit.item_id
        for hit in made.home.similar(NewListing(title, None, brand, colour, size, attributes)).hits
        if hit.score == pytest.approx(1, abs=1e-4)
    ]


def test_its_files_are_checked_and_mlflow_loads_the_fusion(made: Made) -> None:
    settings, version = made.home.settings, made.version
    (file,) = (settings.home / "mlartifacts" / "similar").rglob("text_encoder/config.json")
    served = mlflow.pyfunc.load_model(version.model_uri)
    encoder = load_models(settings, version, CPU).text
    labels = read_labels(made.home.workspace.snapshot(), 0)
    content = encode(made.home.workspace.snapshot(), labels, settings, encoder, None, lambda _: None)
    inputs = [each.name for each in served.metadata.signature.inputs]
    tensors = [each.numpy() for each in content.of(torch.arange(9), CPU)]
    answer = served.predict(dict(zip(inputs, tensors, strict=True)))
    np.testing.assert_allclose(answer, vectors(made, version.name)[:9], atol=1e-5)
    whole = file.read_text("utf-8")
    file.write_text(whole + " ", "utf-8")
    with pytest.raises(StoreError, match="are not those that were logged"):
        load_models(settings, version, CPU)
    file.write_text(whole, "utf-8")


def test_training_again_gives_the_same(made: Made) -> None:
    (step,) = made.home.train("similar", force=True)
    assert step.version is not None
    assert step.version.metrics == made.version.metrics
    np.testing.assert_array_equal(vectors(made, step.version.name), vectors(made, made.version.name))


def test_an_update_reads_the_trained_encoder(made: Made, tmp_path: Path) -> None:
    (tmp_path / "later").mkdir()
    for table in made.store.glob("*.parquet"):
        rows = pq.read_table(table)
        pq.write_table(rows.slice(4) if table.stem == "listings" else rows, tmp_path / "later" / table.name)
    home = made.home
    home.ingest(tmp_path / "later")
    update(home.workspace, home.workspace.snapshot(), name="similar_products")
    later = home.vectors("similar")
    kept = later.keys.to_pylist()
    np.testing.assert_allclose(
        later.to_numpy()["similar_vector"],
        home.vectors(made.version.name, kept).to_numpy()["similar_vector"],
        atol=1e-5,
    )
    with (
        twinvec.open(home.settings.home, device="cpu", similar=made.options | {"tune": "fusion"}) as other,
        pytest.raises(StoreError, match=r"with other settings: similar.tune was text, is fusion"),
    ):
        other.similar(NewListing("Cup"))


def test_steps_read_the_same_vectors_as_the_judge_with_gradients(made: Made) -> None:
    settings, snapshot = made.home.settings, made.home.workspace.snapshot()
    labels, encoder = read_labels(snapshot, 0), text_encoder(settings.similar, CPU)
    content = encode(snapshot, labels, settings, encoder, None, lambda _: None)
    rows = torch.randperm(len(content))[:70]
    with tuned(content, snapshot, encoder, settings) as read:
        encoder.train()
        stepped = read.of(rows, CPU)
        encoder.eval()
        judged = read.of(rows, CPU)
    assert stepped[0].requires_grad
    assert not judged[0].requires_grad
    # The encoder has no dropout.
    torch.testing.assert_close(torch.nn.functional.normalize(stepped[0]), judged[0])
    for one, other, frozen in zip(stepped[1:], judged[1:], content.of(rows, CPU)[1:], strict=True):
        torch.testing.assert_close(one, other)
        torch.testing.assert_close(one, frozen)
    torch.testing.assert_close(judged[0], content.text[rows])


def test_the_table_compares_it_where_it_is_asked_for(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar, "SEEDS", 1)
    request = Request(made.home.workspace, made.home.workspace.snapshot(), lambda _: None)
    frozen, trained = run(similar.COMPARISON, request, [similar.HRMS, similar.TUNED])
    assert frozen.name == "HRMS"
    assert trained.ndcg != frozen.ndcg
    assert similar.TUNED not in similar.row_names()


def test_what_cannot_be_trained_is_refused(made: Made) -> None:
    settings, snapshot = made.home.settings, made.home.workspace.snapshot()
    encoder = text_encoder(settings.similar, CPU)
    labels, digest = read_labels(snapshot, 0), model_digest(encoder)
    content = encode(snapshot, labels, settings, encoder, None, lambda _: None)
    content.has_text[:] = False
    with (
        pytest.raises(SettingsError, match=r"similar.tune is 'text', and no listing of snapshot"),
        tuned(content, snapshot, encoder, settings),
    ):
        pass
    content.has_text[:] = True
    with (
        pytest.raises(SettingsError, match="has no weights to train"),
        tuned(content, snapshot, encoder.requires_grad_(False), settings),
    ):
        pass
    assert model_digest(encoder) == digest
    with pytest.raises(ValidationError, match="words"):
        SimilarSettings(words=())
