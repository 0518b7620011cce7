"""Trainer of sentence encoders, and the order in which it reads rows."""

from __future__ import annotations

from typing import Any

from datasets import Dataset  # type: ignore[import-untyped]
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sentence_transformer.trainer import SentenceTransformerTrainer
from torch.utils.data import SequentialSampler

from twinvec.nn.training.encoder_loop import ValidatedTrainer


class TextTrainer(ValidatedTrainer, SentenceTransformerTrainer):
    """The library's trainer, validated by a function, and without the model card for the hub."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Add none: it would read all data to describe it."""


def in_order(dataset: Dataset, batch_size: int, drop_last: bool, **_: Any) -> DefaultBatchSampler:
    """Return batches of rows in the order in which they were mined, which is random already."""
    return DefaultBatchSampler(SequentialSampler(dataset), batch_size=batch_size, drop_last=drop_last)
