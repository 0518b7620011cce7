"""The model that MLflow keeps gives the vectors that inference gave, with images and without."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

from twinvec.nn.models.alignment import (
    AlignmentEncoder,
    ContentFeatures,
    FullCoviews,
    coview_means,
    example,
)
from twinvec.nn.sampling.blocks import from_edges
from twinvec.nn.training.inference import infer
from twinvec.tracking import Run

PRODUCTS = 31


@pytest.mark.parametrize("image_width", [5, 0])
def test_the_logged_model_gives_the_same_vectors(
    image_width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(image_width)
    encoder = AlignmentEncoder(7, image_width, 8, share=0.2)
    features = ContentFeatures(
        torch.randn(PRODUCTS, 7),
        torch.rand(PRODUCTS) > 0.2,
        torch.randn(PRODUCTS, image_width),
        torch.rand(PRODUCTS) > 0.5,
    )
    first, second = torch.randint(0, PRODUCTS, (2, 90))
    coview = from_edges(first, second, PRODUCTS)
    expected = infer(encoder, coview_means(features, coview), {})

    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    # Tests that ran before in this process may have chosen an experiment of another store.
    mlflow.set_experiment("aligned")
    with mlflow.start_run() as active:
        uri = Run(active.info.run_id, "aligned").log_model(FullCoviews(encoder), example(encoder))
    loaded = mlflow.pytorch.load_model(uri)
    arguments = features.of(torch.arange(PRODUCTS))
    with torch.no_grad():
        assert torch.allclose(loaded(*arguments, coview.offsets, coview.positions), expected, atol=1e-6)
    served = mlflow.pyfunc.load_model(uri)
    names = [each.name for each in served.metadata.signature.inputs]
    tensors = (*arguments, coview.offsets, coview.positions)
    given = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
    assert np.allclose(served.predict(given), expected.numpy(), atol=1e-6)
    assert served.input_example.keys() == given.keys()
