from collections.abc import Callable, Mapping
from pathlib import Path

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from pipelines.image.encoder import INSTALLED, encode_images, load_encoder
from pipelines.image.pipeline import SKIPPED_FILE, train
from pipelines.image.reading import read_images, reason_to_skip
from registry.models import State
from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import CatalogueError
from twinvec.features.reading import read_vectors
from twinvec.stage import Inputs, make_version
from twinvec.tracking import model_digest
from twinvec.workspace import Workspace

SnapshotOf = Callable[[Mapping[str, str | None]], Snapshot]
BAD = {"cut": "truncated.png", "gone": "no-such.png", "far": "http://shop.example/a.png"}


def test_a_catalogue_without_a_readable_image_is_skipped(
    snapshot_of: SnapshotOf, workspace: Workspace
) -> None:
    assert reason_to_skip(snapshot_of({"one": None}), workspace.settings) == "no product has an image"
    far = {f"product {number}": f"http://shop.example/{number}.jpg" for number in range(3)}
    assert reason_to_skip(snapshot_of(far), workspace.settings) == (
        "none of its images can be read: 3 on another machine, and image.remote is off"
    )
    assert "1 missing" in (reason_to_skip(snapshot_of(BAD), workspace.settings) or "")
    assert reason_to_skip(snapshot_of({**BAD, "good": "red.png"}), workspace.settings) is None
    assert reason_to_skip(
        snapshot_of({f"{number}": "no-such.png" for number in range(300)}), workspace.settings
    ) == ("none of 256 of its 300 images can be read: 256 missing")


def test_no_image_at_all_leaves_a_failed_version(snapshot_of: SnapshotOf, workspace: Workspace) -> None:
    inputs = Inputs(workspace, snapshot_of(BAD), {})
    with pytest.raises(CatalogueError, match="1 missing"):
        make_version(inputs, "image", "mark", {}, train, lambda message: None)
    with pytest.raises(Exception, match="no version"):
        workspace.version("image")


def test_the_scheme_none_skips_the_stage(snapshot_of: SnapshotOf, workspace: Workspace) -> None:
    settings = workspace.settings
    without = settings.model_copy(update={"image": settings.image.model_copy(update={"scheme": "none"})})
    assert reason_to_skip(snapshot_of({"good": "red.png"}), without) == "image.scheme is `none`"


@pytest.mark.slow
def test_versions_hold_a_vector_for_each_good_image_and_the_reasons_for_the_others(
    snapshot_of: SnapshotOf, workspace: Workspace
) -> None:
    snapshot = snapshot_of({**BAD, "bare": None, "file": "red.png", "member": "zip://red.png::archive.zip"})
    inputs = Inputs(workspace, snapshot, {})
    heard: list[str] = []
    first, second = (make_version(inputs, "image", mark, {}, train, heard.append) for mark in "ab")

    read = read_vectors(workspace.features, first, ["cut", "gone", "far", "bare", "file", "member"])
    assert read.present.tolist() == [False, False, False, False, True, True]
    options = workspace.settings.image
    encoder = load_encoder(INSTALLED, options.size, options.dimension, workspace.settings.seed)
    (batch,) = read_images(snapshot, options, 10)
    expected = encode_images(encoder, batch.pixels, 2)
    np.testing.assert_allclose(read.only()[4:], expected, atol=1e-5)
    assert first.state == State.READY
    assert first.dimension == 256
    assert first.manifest["model"] == model_digest(encoder)
    assert first.metrics["coverage"] == pytest.approx(2 / 6)
    assert first.metrics["skipped"] == 3
    skipped = pq.read_table(Path(first.path) / SKIPPED_FILE).to_pylist()
    assert {row["product_id"]: row["reason"] for row in skipped} == {
        "cut": "a damaged image",
        "gone": "missing",
        "far": "on another machine, and image.remote is off",
    }
    assert any("5 of 5 images, 3 left out" in line for line in heard)

    assert first.digest == second.digest
    assert first.model_uri == second.model_uri == "models:/image/1"
    loaded = mlflow.pytorch.load_model(first.model_uri)
    with torch.no_grad():
        vectors = loaded(torch.from_numpy(batch.pixels[:1]).float() / 255)
    np.testing.assert_allclose(vectors.numpy(), expected[:1], atol=1e-5)
    served = mlflow.pyfunc.load_model(first.model_uri)
    np.testing.assert_allclose(served.predict(batch.pixels.astype(np.float32) / 255), expected, atol=1e-5)
    assert served.input_example is not None
