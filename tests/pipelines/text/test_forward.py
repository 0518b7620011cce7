import builtins
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from pipelines.text.encoder import encode_texts
from pipelines.text.forward import Backend, build_forward
from twinvec.errors import SettingsError
from twinvec.nn.device import Precision

WORDS = ["a", "blue", "phone", "case", "for", "Nova", "X2", "with", "leather", "straps", "teléfono", "4711"]


def texts(seed: int, count: int) -> list[str]:
    """Texts of one to eighty words, some of them twice."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 81, count)
    some = [" ".join(generator.choice(WORDS, length)) for length in lengths]
    return some + some[: count // 4]


@pytest.mark.parametrize(
    ("backend", "precision", "distance"),
    [
        ("torch", "float32", 1e-6),
        ("torch", "bfloat16", 1e-3),
        ("openvino", "float32", 1e-6),
        ("openvino", "bfloat16", 1e-3),
    ],
)
def test_all_ways_give_the_library_s_vectors(
    encoder: SentenceTransformer, backend: Backend, precision: Precision, distance: float
) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino", reason="the extra `openvino` is not installed")
    some = texts(5, 40)
    expected = encoder.encode(some, normalize_embeddings=True, show_progress_bar=False)
    forward = build_forward(encoder, backend, precision)
    for batch in (7, 64):
        vectors = encode_texts(encoder, some, batch, forward)
        assert vectors.dtype == np.float32
        assert vectors.shape == expected.shape
        assert (1 - np.sum(vectors * expected, axis=1, dtype=np.float64)).max() < distance
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    # Compiling leaves the encoder as it was.
    np.testing.assert_allclose(encode_texts(encoder, some, 64), expected, atol=1e-5)


def test_texts_are_encoded_once_with_hardly_any_padding(encoder: SentenceTransformer) -> None:
    seen: list[Mapping[str, Any]] = []
    plain = build_forward(encoder, "torch", "float32")

    def forward(features: Mapping[str, Any]) -> torch.Tensor:
        seen.append(features)
        return plain(features)

    some = texts(6, 64)
    encode_texts(encoder, some, 8, forward)
    assert sum(len(features["input_ids"]) for features in seen) == len(set(some))
    padded = sum(features["attention_mask"].numel() for features in seen)
    assert sum(int(features["attention_mask"].sum()) for features in seen) > 0.9 * padded


def test_the_default_prompt_is_the_library_s(encoder: SentenceTransformer) -> None:
    prompted = SentenceTransformer(
        modules=[*encoder.children()], prompts={"title": "title: "}, default_prompt_name="title", device="cpu"
    )
    some = texts(7, 5)
    expected = prompted.encode(some, normalize_embeddings=True, show_progress_bar=False)
    np.testing.assert_allclose(encode_texts(prompted, some, 8), expected, atol=1e-5)
    assert np.abs(encode_texts(encoder, some, 8) - expected).max() > 0.01


def test_an_encoder_without_a_transformer_is_encoded_too(encoder: SentenceTransformer) -> None:
    torch.manual_seed(0)
    static = StaticEmbedding(encoder.tokenizer.backend_tokenizer, embedding_dim=16)
    words = SentenceTransformer(modules=[static], device="cpu")
    some = texts(8, 9)
    expected = words.encode(some, normalize_embeddings=True, show_progress_bar=False)
    np.testing.assert_allclose(encode_texts(words, some, 4), expected, atol=1e-5)


def test_what_openvino_needs_is_said(encoder: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "openvino":
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match=r"twinvec\[openvino\]"):
        build_forward(encoder, "openvino", "float32")
