"""The models of one release as MLflow keeps them, each checked to be what its version was made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers.utils import logging

from pipelines.image import decoding
from pipelines.text.encoder import encode_texts, preprocessing_digest
from registry.models import Version
from twinvec.errors import StoreError
from twinvec.features.manifest import Manifest
from twinvec.serving.related import UnusableProductError
from twinvec.settings import Settings
from twinvec.tracking import load_model

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ImageModel:
    """The exported image encoder.

    Attributes:
        module: RGB from 0 to 1, float32 [n, 3, size, size], to [n, d].
        size: pixels of a side, as the version's images had them.
    """

    module: nn.Module
    size: int


@dataclass(frozen=True)
class Models:
    """What turns a new product into vectors, all of one release.

    Attributes:
        text: sentence encoder; None if the release was made without texts.
        text_dimension: length of its vectors; 0 without it.
        image: image encoder; None if the release was made without images.
        image_dimension: length of its vectors; 0 without it.
        aligned: `twinvec.nn.models.alignment.FullCoviews`, exported.
    """

    text: SentenceTransformer | None
    text_dimension: int
    image: ImageModel | None
    image_dimension: int
    aligned: nn.Module

    def encode_text(self, text: str) -> Floats:
        """The text vector of a text as `pipelines.text.texts` composes it, float32 [text_dimension].

        Raises:
            UnusableProductError: if the release was made without texts.
        """
        if self.text is None:
            raise _without("a title or category")
        vector: Floats = encode_texts(self.text, [text], 1)[0]
        return vector

    def encode_image(self, content: bytes, max_pixels: int) -> Floats:
        """The image vector of an image file's bytes, float32 [image_dimension].

        Raises:
            UnusableProductError: if it cannot be decoded, or the release was made without images.
        """
        if self.image is None:
            raise _without("an image")
        try:
            pixels = decoding.decode(content, self.image.size, max_pixels)
        except decoding.ImageError as error:
            raise UnusableProductError(
                f"the image cannot be used: {error}", "give a whole PNG, JPEG, WebP, GIF, TIFF, BMP or AVIF"
            ) from error
        image = torch.tensor(pixels).float()[None] / 255
        with torch.inference_mode():
            vector: Floats = self.image.module(_twice(image))[0].numpy()
        return vector

    def align(self, text: Floats | None, image: Floats | None) -> Floats:
        """The aligned vector of a product without co-views, of length one, float32 [a].

        Args:
            text: float32 [text_dimension], or None if the product has no text.
            image: float32 [image_dimension], or None if it has no image.
        """
        features = []
        for vector, dimension in ((text, self.text_dimension), (image, self.image_dimension)):
            given = torch.zeros(dimension) if vector is None else torch.from_numpy(vector)
            features += [_twice(given[None]), torch.tensor([vector is not None] * 2)]
        with torch.inference_mode():
            offsets, positions = torch.zeros(3, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
            aligned: Floats = self.aligned(*features, offsets, positions)[0].numpy()
        return aligned


def load_models(settings: Settings, versions: Mapping[str, Version]) -> Models:
    """Load the models of a release from MLflow, and check their weights against the manifests.

    Args:
        settings: where MLflow is.
        versions: space → version, the lineage of a `related` version; it has `aligned`.

    Raises:
        StoreError: if a model is gone from MLflow, or is another than the version was made by.
    """
    # A bar for each of its files would say nothing to a service.
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    text = image = None
    if "text" in versions:
        text = load_model(settings, versions["text"], _hint("text"), "sentence_transformers")
        _refuse_other(versions["text"], preprocessing_digest(text))
    if "image" in versions:
        image = load_model(settings, versions["image"], _hint("image"))
        size = _image_size(versions["image"])
        _refuse_other(versions["image"], decoding.preprocessing_digest(size))
    return Models(
        text=text,
        text_dimension=versions["text"].dimension or 0 if text is not None else 0,
        image=ImageModel(image, size) if image is not None else None,
        image_dimension=versions["image"].dimension or 0 if image is not None else 0,
        # The manifest has the digest of the encoder, without the function of plain tensors around it.
        aligned=load_model(settings, versions["aligned"], _hint("aligned"), weights=attrgetter("encoder")),
    )


def _hint(space: str) -> str:
    return f"`twinvec train {space} --force`, then `twinvec run`, make a release anew; or promote another"


def _refuse_other(version: Version, preprocessing: str) -> None:
    """A version's texts may have been composed otherwise than those of today, its images decoded otherwise."""
    if preprocessing != Manifest.from_json(version.manifest).preprocessing:
        raise StoreError(
            f"the {version.space}s of {version.name} were prepared otherwise than this Twinvec prepares them",
            f"`twinvec run` makes a release with the {version.space}s of this one; until then, the Twinvec that made "
            "it answers",
        )


def _without(what: str) -> UnusableProductError:
    return UnusableProductError(
        f"the product has {what}, and the live release was made without any",
        "leave it out, or make a release of a catalogue that has them",
    )


def _image_size(version: Version) -> int:
    """Pixels of a side that the exported encoder takes: those of its version, whatever is set now."""
    import mlflow

    signature = mlflow.models.get_model_info(str(version.model_uri)).signature
    return int(signature.inputs.inputs[0].shape[-1])


def _twice(row: Tensor) -> Tensor:
    """[1, …] to [2, …]: exported models take no batch of one row."""
    return torch.cat([row, row])
