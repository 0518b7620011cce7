"""The image encoder whose ImageNet weights are installed with Twinvec."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from pipelines.image.encoder import INSTALLED, encode_images, load_encoder


def test_its_vectors_tell_what_a_picture_shows() -> None:
    encoder = load_encoder(INSTALLED, size=128, dimension=64, seed=0)
    assert sum(1 for _ in encoder.backbone.state_dict()) == 294, "296 tensors without the classifier's two"
    pictures = [Image.fromarray(picture) for picture in load_sample_images().images]
    crops = [
        picture.crop((x, 20, x + 400, 420)).resize((128, 128)) for picture in pictures for x in (60, 110)
    ]
    pixels = np.stack([np.asarray(crop).transpose(2, 0, 1) for crop in crops])
    vectors = torch.from_numpy(encode_images(encoder, pixels, 4))
    cosines = vectors @ vectors.T
    same, other = min(cosines[0, 1], cosines[2, 3]), cosines[:2, 2:].max()
    assert same > 0.7
    assert same > other + 0.3
