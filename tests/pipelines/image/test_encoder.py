from pathlib import Path

import duckdb
import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from pipelines.image.encoder import UNTRAINED, encode_images, load_encoder
from pipelines.image.reading import read_images
from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import SettingsError
from twinvec.nn.models.image import ImageEncoder
from twinvec.settings import ImageSettings
from twinvec.tracking import model_digest

PIXELS = np.random.default_rng(0).integers(0, 256, (11, 3, 32, 32), np.uint8)


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    return load_encoder(UNTRAINED, 32, 48, seed=1)


def test_vectors_have_length_one_and_do_not_depend_on_order_or_batch(encoder: ImageEncoder) -> None:
    vectors = encode_images(encoder, PIXELS, 64)
    assert vectors.dtype == np.float32
    assert vectors.shape == (11, 48)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for batch in (1, 3, 11):
        order = np.random.default_rng(batch).permutation(11)
        np.testing.assert_allclose(encode_images(encoder, PIXELS[order], batch), vectors[order], atol=1e-5)
    assert encode_images(encoder, PIXELS[:0], 4).shape == (0, 48)
    mixed = encode_images(encoder, PIXELS, 3, "bfloat16")
    np.testing.assert_allclose(np.linalg.norm(mixed, axis=1), 1, atol=1e-5)
    assert 1 - np.sum(mixed * vectors, axis=1).min() < 1e-3
    assert not np.array_equal(mixed, vectors)


def test_the_seed_decides_the_weights_and_nothing_else_is_touched(encoder: ImageEncoder) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    same, other = load_encoder(UNTRAINED, 32, 48, seed=1), load_encoder(UNTRAINED, 32, 48, seed=2)
    assert torch.equal(torch.rand(1), expected)
    assert model_digest(same) == model_digest(encoder) != model_digest(other)
    np.testing.assert_array_equal(encode_images(same, PIXELS, 4), encode_images(encoder, PIXELS, 4))


def test_an_image_without_any_detail_has_a_finite_vector(encoder: ImageEncoder) -> None:
    plain = np.full((2, 3, 32, 32), 255, np.uint8)
    np.testing.assert_allclose(np.linalg.norm(encode_images(encoder, plain, 2), axis=1), 1, atol=1e-5)


def test_untrained_vectors_tell_styles_apart_better_than_chance(store: tuple[Path, Snapshot]) -> None:
    source, snapshot = store
    (batch,) = read_images(snapshot, ImageSettings(), 1_000)
    vectors = encode_images(load_encoder(UNTRAINED, 64, 256, seed=0), batch.pixels, 64)
    styled = duckdb.sql(f"SELECT product_id, style FROM '{source}/truth/products.parquet'")
    assert styled is not None
    truth = dict(styled.fetchall())
    styles = np.array([truth[name] for name in batch.product_ids])
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -2)
    hit = (styles[similarity.argmax(axis=1)] == styles).mean()
    chance = np.square(np.unique(styles, return_counts=True)[1] / len(styles)).sum()
    assert hit > 4 * chance


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (UNTRAINED, "patches of 4 pixels"),
        ("resnet", "no image encoder"),
        ("open_clip:ViT-B-32", "no image encoder"),
        ("timm:no_such_model", "timm has no such"),
        ("open_clip:ViT-B-32/no_such_weights", "open-clip has no such"),
        ("timm:vit_tiny_patch16_224", "is for images of 224 pixels"),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "is for images of 224 pixels"),
    ],
)
def test_a_name_or_size_that_cannot_be_is_an_error(name: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_encoder(name, 62, 256, seed=0)


@pytest.mark.parametrize("name", ["timm:vit_tiny_patch16_224", "open_clip:ViT-B-32/laion2b_s34b_b79k"])
def test_weights_that_cannot_be_downloaded_are_an_error_that_says_what_to_do(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SettingsError) as caught:
        load_encoder(name, 224, 256, seed=0)
    assert f"image.model is {name!r}, which is not on this machine" in caught.value.message
    assert UNTRAINED in caught.value.hint


def test_weights_on_this_machine_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.manual_seed(3)
    weights = timm.create_model("test_vit.r160_in1k")
    folder = tmp_path / "models--timm--test_vit.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("1234")
    (folder / "snapshots" / "1234").mkdir(parents=True)
    save_file(weights.state_dict(), folder / "snapshots" / "1234" / "model.safetensors")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")

    encoder = load_encoder("timm:test_vit.r160_in1k", 160, 32, seed=0)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 160, 160), np.uint8)
    vectors = encode_images(encoder, pixels, 2)
    assert vectors.shape == (3, 32)
    loaded = encoder.backbone.state_dict()
    torch.testing.assert_close(loaded["cls_token"], weights.state_dict()["cls_token"])
    # Its pooled features, in the colours it is for, under the projection.
    weights.reset_classifier(0)  # type: ignore[operator]
    images = (torch.from_numpy(pixels) / 255 - 0.5) / 0.5
    pretrained = timm.get_pretrained_cfg("test_vit.r160_in1k")
    assert pretrained is not None
    assert pretrained.mean == (0.5, 0.5, 0.5)
    with torch.no_grad():
        expected = encoder.projection(weights.eval()(images))
    np.testing.assert_allclose(vectors, torch.nn.functional.normalize(expected, dim=1).numpy(), atol=1e-5)
