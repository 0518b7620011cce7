from collections.abc import Callable

import mlflow
import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from pipelines.outline import Inputs, make_version
from pipelines.text.encoder import encode_texts
from pipelines.text.pipeline import preprocessing_digest, train
from pipelines.text.texts import reason_to_skip
from twinvec.catalogue.snapshot import Snapshot
from twinvec.features.reading import read_vectors
from twinvec.tracking import model_digest
from twinvec.workspace import Workspace


def test_a_catalogue_without_texts_is_skipped(
    snapshot_of: Callable[..., Snapshot], workspace: Workspace
) -> None:
    assert (
        reason_to_skip(snapshot_of(one=(None, [])), workspace.settings)
        == "no product has a title or a category"
    )


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
    assert mlflow.models.get_model_info(first.model_uri).signature is not None
