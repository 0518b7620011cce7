"""Listings whose texts are encoded anew in each step, so that the loss trains the text encoder, too (appendix A)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import torch
from datasets import Dataset  # type: ignore[import-untyped]
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import batch_to_device
from torch import Tensor

from pipelines.similar.encoding import TEXTS, Content
from pipelines.similar.listings import read_texts
from pipelines.text.encoder import encode_texts
from pipelines.text.freezing import frozen
from pipelines.text.losses import embed
from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import SettingsError
from twinvec.nn.device import Precision, training_precision
from twinvec.settings import Settings


@dataclass(frozen=True)
class TunedContent(Content):
    """Content of n listings by a text encoder that is being trained; `text` is what it gave before.

    Attributes:
        encoder: Text encoder, with weights in float32.
        texts: Column `text`, in a file; null where a listing says nothing.
        precision: Precision of the encoder's training; it is judged in float32, as it will serve.
        batch: Texts in one forward pass without gradients.
    """

    encoder: SentenceTransformer
    texts: Dataset
    precision: Precision
    batch: int

    def of(self, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the inputs of the fusion for some rows; with gradients while the encoder is in training mode."""
        _, *others = super().of(rows, device)
        texts = [text or "" for text in self.texts[rows.tolist()]["text"]]
        if self.encoder.training:
            prompt = self.encoder.prompts.get(self.encoder.default_prompt_name or "")
            features = batch_to_device(self.encoder.preprocess(texts, prompt=prompt), self.encoder.device)
            mixed = training_precision(self.precision, device) == "bfloat16"
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                (text,) = embed(self.encoder, [features])
        else:
            text = torch.from_numpy(encode_texts(self.encoder, texts, self.batch)).to(device)
        return text, *others  # type: ignore[return-value]


@contextmanager
def tuned(
    content: Content, snapshot: Snapshot, encoder: SentenceTransformer, settings: Settings
) -> Iterator[TunedContent]:
    """Yield the content of all listings as `fit` trains the text encoder with it, which is held by `tuning.frozen`.

    Args:
        content: Content by the encoder as it is.
        snapshot: Snapshot of the listings.
        encoder: Encoder from `load_encoder`, which is trained in place.
        settings: Settings.

    Raises:
        SettingsError: If there is nothing to train: no text, or an encoder without weights.
    """
    options = settings.similar
    if not bool(content.has_text.any()):
        raise SettingsError(
            f"similar.tune is 'text', and no listing of snapshot {snapshot.id} has a text",
            "name other parts of a listing in similar.words, or set similar.tune to 'fusion'",
        )
    if not any(each.requires_grad for each in encoder.parameters()):
        raise SettingsError(
            f"similar.tune is 'text', and {options.text_model!r} has no weights to train",
            "name another similar.text_model, or set similar.tune to 'fusion'",
        )
    with (
        TemporaryDirectory(dir=settings.home) as folder,
        frozen(encoder, options.tuning.frozen),
    ):
        file = Path(folder) / "texts.arrow"
        with pa.ipc.new_stream(file, pa.schema([("text", pa.string())])) as stream:
            for texts in read_texts(snapshot, options.words, TEXTS):
                stream.write(pa.record_batch({"text": texts}))
        yield TunedContent(
            **vars(content),
            encoder=encoder,
            texts=Dataset.from_file(str(file)),
            precision=options.tuning.precision,
            batch=options.encode_batch,
        )
