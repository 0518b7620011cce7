"""Listings whose texts or images are encoded anew in each step, so that the loss trains their encoders (appendix A)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from datasets import Dataset  # type: ignore[import-untyped]
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import batch_to_device
from torch import Tensor, nn

from pipelines.image.encoder import encode_images
from pipelines.image.pixels import CHUNK, decode_images, open_images
from pipelines.similar.encoding import TEXTS, Content, Encoders
from pipelines.similar.images import image_settings, images_of_listings, listed_images
from pipelines.similar.listings import read_texts
from pipelines.text.encoder import encode_texts
from pipelines.text.freezing import frozen
from pipelines.text.losses import embed
from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import SettingsError
from twinvec.nn.device import Precision, training_precision
from twinvec.nn.models.image import ImageEncoder
from twinvec.progress import Progress
from twinvec.settings import Settings


@dataclass(frozen=True)
class TunedTexts:
    """Texts of n listings, and the encoder of texts that is being trained.

    Attributes:
        encoder: Text encoder, with weights in float32.
        learning_rate: Its learning rate.
        texts: Column `text`, in a file; null where a listing says nothing.
        precision: Precision of the encoder's training; it is judged in float32, as it will serve.
        batch: Texts in one forward pass without gradients.
    """

    encoder: SentenceTransformer
    learning_rate: float
    texts: Dataset
    precision: Precision
    batch: int

    def vectors(self, rows: Tensor, device: torch.device) -> Tensor:
        """Return the vectors of some listings, float32 [b, t]; with gradients while the encoder is in training mode."""
        texts = [text or "" for text in self.texts[rows.tolist()]["text"]]
        if not self.encoder.training:
            return torch.from_numpy(encode_texts(self.encoder, texts, self.batch)).to(device)
        prompt = self.encoder.prompts.get(self.encoder.default_prompt_name or "")
        features = batch_to_device(self.encoder.preprocess(texts, prompt=prompt), self.encoder.device)
        with _mixed(self.precision, device):
            (vectors,) = embed(self.encoder, [features])
        return vectors


@dataclass(frozen=True)
class TunedImages:
    """Images of n listings, and the encoder of images that is being trained.

    Attributes:
        encoder: Image encoder, with weights in float32.
        learning_rate: Its learning rate.
        pixels: Distinct images, RGB, uint8 [m, 3, size, size], in a file.
        image: Row of `pixels` of each listing, int64 [n]; −1 without one.
        precision: Precision of the encoder's training; it is judged in float32, as it will serve.
        batch: Images in one forward pass without gradients.
    """

    encoder: ImageEncoder
    learning_rate: float
    pixels: npt.NDArray[np.uint8]
    image: npt.NDArray[np.int64]
    precision: Precision
    batch: int

    def vectors(self, rows: Tensor, device: torch.device) -> Tensor:
        """Return the vectors of some listings, float32 [b, i]; with gradients while the encoder is in training mode.

        An image of several listings is encoded once; a listing without an image has zeros.
        """
        image = self.image[rows.numpy()]
        (there,) = np.nonzero(image >= 0)
        distinct, place = np.unique(image[there], return_inverse=True)
        vectors = torch.zeros(len(rows), self.encoder.projection.out_features, device=device)
        if not len(distinct):
            return vectors
        encoded = self._train(distinct, device) if self.encoder.training else self._judge(distinct, device)
        return vectors.index_copy(0, torch.from_numpy(there).to(device), encoded[torch.from_numpy(place)])

    def _train(self, images: npt.NDArray[np.int64], device: torch.device) -> Tensor:
        # The images of a batch are of few families. The statistics that the encoder brings along serve better.
        for module in self.encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        with _mixed(self.precision, device):
            encoded: Tensor = self.encoder(torch.from_numpy(self.pixels[images]).to(device).float() / 255)
        return encoded.float()

    def _judge(self, images: npt.NDArray[np.int64], device: torch.device) -> Tensor:
        parts = np.array_split(images, 1 + len(images) // CHUNK)
        encoded = [encode_images(self.encoder, self.pixels[part], self.batch) for part in parts]
        return torch.from_numpy(np.concatenate(encoded)).to(device)


@dataclass(frozen=True)
class TunedContent(Content):
    """Content of n listings by encoders that are being trained; `text` and `image` are what they gave before.

    Attributes:
        texts: Texts and their encoder; None if it is not trained.
        images: Images and their encoder; None if it is not trained.
    """

    texts: TunedTexts | None
    images: TunedImages | None

    @property
    def parts(self) -> list[TunedTexts | TunedImages]:
        """The texts and the images whose encoder is trained."""
        return [part for part in (self.texts, self.images) if part is not None]

    def of(self, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the inputs of the fusion for some rows; with gradients while the encoders are in training mode."""
        text, has_text, image, has_image = super().of(rows, device)
        if self.texts is not None:
            text = self.texts.vectors(rows, device)
        if self.images is not None:
            image = self.images.vectors(rows, device)
        return text, has_text, image, has_image


@contextmanager
def tuned(
    content: Content, snapshot: Snapshot, encoders: Encoders, settings: Settings, progress: Progress
) -> Iterator[TunedContent]:
    """Yield the content of all listings as `fit` trains with it the encoders that `similar.tune` names.

    The lowest parts of the text encoder are held by `tuning.frozen`.

    Args:
        content: Content by the encoders as they are.
        snapshot: Snapshot of the listings.
        encoders: Encoders, which are trained in place.
        settings: Settings.
        progress: Called with what is done.

    Raises:
        SettingsError: If there is nothing to train: no text, no image, or an encoder without weights.
    """
    options = settings.similar
    texts = images = None
    with (
        TemporaryDirectory(dir=settings.home) as folder,
        frozen(encoders.text, options.tuning.frozen if options.tunes_text else 0),
    ):
        if options.tunes_text:
            _require(
                content.has_text, encoders.text, f"text_model {options.text_model!r}", "a text", settings
            )
            texts = _tuned_texts(encoders.text, snapshot, settings, Path(folder) / "texts.arrow")
        if options.tunes_image:
            model = f"image_model {options.image_model!r}"
            _require(content.has_image, encoders.image, model, "an image that can be read", settings)
            assert encoders.image is not None
            images = _tuned_images(encoders.image, snapshot, settings, Path(folder) / "images", progress)
        yield TunedContent(**vars(content), texts=texts, images=images)


def _tuned_texts(
    encoder: SentenceTransformer, snapshot: Snapshot, settings: Settings, file: Path
) -> TunedTexts:
    """Write the texts of all listings into a file, to be read from there."""
    options = settings.similar
    with pa.ipc.new_stream(file, pa.schema([("text", pa.string())])) as stream:
        for texts in read_texts(snapshot, options.words, TEXTS, settings.ingest.memory_limit):
            stream.write(pa.record_batch({"text": texts}))
    tuning = options.tuning
    rows = Dataset.from_file(str(file))
    return TunedTexts(encoder, tuning.learning_rate, rows, tuning.precision, options.encode_batch)


def _tuned_images(
    encoder: ImageEncoder, snapshot: Snapshot, settings: Settings, folder: Path, progress: Progress
) -> TunedImages:
    """Decode the images of all listings into a file, to be read from there."""
    options = settings.similar
    decode_images(folder, listed_images(snapshot), image_settings(settings), progress)
    decoded = open_images(folder, options.image_size)
    images = images_of_listings(snapshot, settings.ingest.memory_limit)
    row = np.full(images.max() + 2, -1)  # the last place is that of −1
    row[np.array(decoded.product_ids).astype(np.int64)] = np.arange(len(decoded.product_ids))
    tuning = options.tuning
    return TunedImages(
        encoder,
        tuning.image_learning_rate,
        decoded.pixels,
        row[images],
        tuning.precision,
        options.encode_batch,
    )


def _require(has: Tensor, encoder: nn.Module | None, model: str, what: str, settings: Settings) -> None:
    """Refuse to train an encoder that has nothing to read, or no weights."""
    tune = settings.similar.tune
    if not bool(has.any()):
        raise SettingsError(
            f"similar.tune is {tune!r}, and no listing has {what}",
            "name other parts of a listing in similar.words, read images with similar.images, or set similar.tune to "
            "'fusion'",
        )
    if encoder is None or not any(each.requires_grad for each in encoder.parameters()):
        raise SettingsError(
            f"similar.tune is {tune!r}, and similar.{model} has no weights to train",
            "name another model, or set similar.tune to 'fusion'",
        )


def _mixed(precision: Precision, device: torch.device) -> torch.autocast:
    """Return a context in which matrices are multiplied in the precision of the training."""
    in_half = training_precision(precision, device) == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=in_half)
