from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from sentence_transformers import SentenceTransformer

from pipelines.graph.coviews import coview_metrics
from pipelines.graph.product_graph import load_graph
from pipelines.text.encoder import encode_texts
from pipelines.text.pipeline import train
from pipelines.text.texts import preprocessing_digest, reason_to_skip
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.catalogue.synthetic import generate
from twinvec.dag import run
from twinvec.features.reading import read_vectors
from twinvec.settings import load_settings
from twinvec.stage import Inputs, make_version
from twinvec.tracking import model_digest
from twinvec.workspace import Workspace


def test_a_catalogue_without_texts_is_skipped(
    snapshot_of: Callable[..., Snapshot], workspace: Workspace
) -> None:
    snapshot = snapshot_of(one=(None, []))
    assert reason_to_skip(snapshot, workspace.settings) == "no product has a title or a category"


def test_text_is_left_out_by_setting(snapshot_of: Callable[..., Snapshot], workspace: Workspace) -> None:
    snapshot = snapshot_of(one=({"en": "A phone"}, ["Phones"]))
    without = load_settings(home=workspace.settings.home, text={"scheme": "none"})
    assert reason_to_skip(snapshot, without) == "text.scheme is `none`"


@pytest.mark.slow
def test_versions_hold_a_vector_for_each_text_and_share_one_logged_encoder(
    snapshot_of: Callable[..., Snapshot], workspace: Workspace, encoder: SentenceTransformer
) -> None:
    snapshot = snapshot_of(one=({"en": "A phone"}, ["Phones"]), two=({"es": "Funda"}, []), three=(None, []))
    assert reason_to_skip(snapshot, workspace.settings) is None
    inputs = Inputs(workspace, snapshot, {})
    heard: list[str] = []
    first, second = (make_version(inputs, "text", mark, {}, train, heard.append) for mark in "ab")

    read = read_vectors(workspace.features, first, ["three", "two", "one"])
    assert read.present.tolist() == [False, True, True]
    expected = encode_texts(encoder, ["Funda", "Phones: A phone"], 2)
    np.testing.assert_allclose(read.only()[1:], expected, atol=1e-5)
    assert first.metrics["coverage"] == pytest.approx(2 / 3)
    assert first.metrics["titles_per_second"] > 0
    assert first.manifest["model"] == model_digest(encoder)
    assert first.manifest["preprocessing"] == preprocessing_digest(encoder)
    assert first.manifest["normalised"]
    assert any("2 of 2 products" in line for line in heard)

    assert first.digest == second.digest
    assert first.model_uri == second.model_uri == "models:/text/1"
    loaded = mlflow.sentence_transformers.load_model(first.model_uri)
    np.testing.assert_allclose(encode_texts(loaded, ["Funda", "Phones: A phone"], 2), expected, atol=1e-5)
    served = mlflow.pyfunc.load_model(first.model_uri)
    np.testing.assert_allclose(served.predict(["Funda", "Phones: A phone"]), expected, atol=1e-5)
    assert served.metadata.signature is not None
    assert served.input_example is not None


@pytest.mark.slow
def test_a_version_of_a_store_is_by_an_encoder_that_learned_from_its_coviews(
    tmp_path: Path, small_encoder: Path
) -> None:
    training = {"batch": 16, "epochs": 2, "learning_rate": 1e-3, "pairs": 300, "validation_products": 200}
    text = {"model": str(small_encoder), "training": training}
    workspace = Workspace(
        load_settings(home=tmp_path / "home", device="cpu", text=text, category={"epochs": 5})
    )
    generate(tmp_path / "store", 200, seed=5, images=False)
    snapshot = ingest(tmp_path / "store", "parquet", workspace.settings, workspace.engine).snapshot
    versions = {step.space: step.version for step in run(workspace, snapshot, {"text"})}
    version, made_from = versions["text"], versions["graph"]
    assert version is not None
    assert made_from is not None
    graph = load_graph(Path(made_from.path))
    assert version.metrics["validation_mrr_at_10"] > version.metrics["untrained_mrr_at_10"]
    assert not [*(tmp_path / "home" / "checkpoints").iterdir()]
    assert version.run_id is not None
    logged = MlflowClient(workspace.settings.tracking_uri()).get_metric_history(
        version.run_id, "training/loss"
    )
    assert [metric.step for metric in logged] == [10, 20, 30]

    trained = mlflow.sentence_transformers.load_model(version.model_uri)
    assert model_digest(trained) == version.manifest["model"]
    read = read_vectors(workspace.features, version, graph.product_ids.to_pylist())
    known = graph.product_ids.filter(pa.array(read.present))
    rows = pq.read_table(snapshot.table("products"), columns=["product_id", "title"]).to_pylist()
    titles = {row["product_id"]: sorted(language for language, _ in row["title"] or ()) for row in rows}
    codes = {"en": 0, "es": 1, "pt": 2}
    first = [(["en"] if "en" in titles[each] else titles[each])[:1] for each in known.to_pylist()]
    languages = np.array([codes[each[0]] if each else -1 for each in first])
    assert {name: version.metrics[name] for name in version.metrics if name.startswith("coview_")} == {
        name: pytest.approx(value)
        for name, value in coview_metrics(graph, known, read.only()[read.present], languages).items()
    }
    assert version.metrics["coview_mrr_at_10"] > 0
    assert "coview_across_mrr_at_10" in version.metrics
