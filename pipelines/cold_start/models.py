"""Models of one release as MLflow keeps them, each checked to be what its version was made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers.utils import logging

from pipelines.alignment.loading import load_aligned
from pipelines.cold_start.description import compose_text
from pipelines.image import decoding
from pipelines.text.encoder import encode_texts
from pipelines.text.texts import preprocessing_digest
from registry.models import Version
from twinvec.errors import StoreError
from twinvec.features.manifest import Manifest
from twinvec.plugins import load_reference
from twinvec.serving.related import NewProduct, UnusableProductError
from twinvec.settings import Settings
from twinvec.spaces import content_spaces, find_space
from twinvec.tracking import load_model

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Floats = npt.NDArray[np.float32]


class ContentEncoder(Protocol):
    """Encodes one kind of content of a product; a space of content declares its class."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        ...

    @classmethod
    def load(cls, settings: Settings, version: Version) -> Self:
        """Load the model that made a version.

        Raises:
            StoreError: If it is gone from MLflow, or is another than the version was made by.
        """
        ...

    @staticmethod
    def content_of(product: NewProduct) -> str | None:
        """Return what a product has of this content, in words for a message; None if it has nothing."""
        ...

    def encode(self, product: NewProduct, path: Sequence[str]) -> Floats | None:
        """Return the vector of a product, float32 [dimension]; None if it has no such content.

        Args:
            product: Product.
            path: Its category path, as the catalogue writes it.

        Raises:
            UnusableProductError: If its content cannot be read.
        """
        ...


@dataclass(frozen=True)
class TextEncoder:
    """The sentence encoder of a text version.

    Attributes:
        model: Encoder of texts as `pipelines.text.texts` composes them.
        dimension: Length of the vectors.
    """

    model: SentenceTransformer
    dimension: int

    @classmethod
    def load(cls, settings: Settings, version: Version) -> TextEncoder:
        """Load the encoder from MLflow and check it against the version's manifest."""
        model = load_model(settings, version, _hint("text"), "sentence_transformers")
        _refuse_other(version, preprocessing_digest(model))
        return cls(model, version.dimension or 0)

    @staticmethod
    def content_of(product: NewProduct) -> str | None:
        """Return what a product has of text."""
        return None if product.title is None and product.category is None else "a title or category"

    def encode(self, product: NewProduct, path: Sequence[str]) -> Floats | None:
        """Return the text vector of a product, float32 [dimension]."""
        text = compose_text(product.title, path)
        if text is None:
            return None
        vector: Floats = encode_texts(self.model, [text], 1)[0]
        return vector


@dataclass(frozen=True)
class ImageEncoder:
    """The exported image encoder of an image version.

    Attributes:
        module: RGB from 0 to 1, float32 [n, 3, size, size], to [n, dimension].
        size: Pixels of a side, as the version's images had them.
        dimension: Length of the vectors.
        max_pixels: Most pixels of an image.
    """

    module: nn.Module
    size: int
    dimension: int
    max_pixels: int

    @classmethod
    def load(cls, settings: Settings, version: Version) -> ImageEncoder:
        """Load the encoder from MLflow and check it against the version's manifest."""
        module = load_model(settings, version, _hint("image"))
        size = _image_size(version)
        _refuse_other(version, decoding.preprocessing_digest(size))
        return cls(module, size, version.dimension or 0, settings.image.max_pixels)

    @staticmethod
    def content_of(product: NewProduct) -> str | None:
        """Return what a product has of images."""
        return "an image" if product.image else None

    def encode(self, product: NewProduct, path: Sequence[str]) -> Floats | None:
        """Return the image vector of a product, float32 [dimension]."""
        if not product.image:
            return None
        try:
            pixels = decoding.decode(product.image, self.size, self.max_pixels)
        except decoding.ImageError as error:
            raise UnusableProductError(
                f"the image cannot be used: {error}", "give a whole PNG, JPEG, WebP, GIF, TIFF, BMP or AVIF"
            ) from error
        image = torch.tensor(pixels).float()[None] / 255
        with torch.inference_mode():
            vector: Floats = self.module(_twice(image))[0].numpy()
        return vector


@dataclass(frozen=True)
class Models:
    """The models that turn a new product into an aligned vector, all of one release.

    Attributes:
        content: Space → encoder, of the spaces of content that the release was made with.
        aligned: `pipelines.alignment.export.FullCoviews`, exported.
    """

    content: Mapping[str, ContentEncoder]
    aligned: nn.Module

    def encode(self, product: NewProduct, path: Sequence[str]) -> Floats:
        """Return the aligned vector of a product without co-views, of length one, float32 [a].

        Raises:
            UnusableProductError: If it has content that cannot be read, or that the release was made without.
        """
        features = []
        for name in find_space("aligned").uses:
            encoder, vector = self.content.get(name), None
            if encoder is not None:
                vector = encoder.encode(product, path)
            else:
                _refuse_content(name, product)
            length = encoder.dimension if encoder is not None else 0
            row = torch.from_numpy(vector) if vector is not None else torch.zeros(length)
            features += [_twice(row[None]), torch.tensor([vector is not None] * 2)]
        with torch.inference_mode():
            offsets, positions = torch.zeros(3, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
            aligned: Floats = self.aligned(*features, offsets, positions)[0].numpy()
        return aligned


def load_models(settings: Settings, versions: Mapping[str, Version]) -> Models:
    """Load the models of a release from MLflow, and check their weights against the manifests.

    Args:
        settings: Settings that say where MLflow is.
        versions: Space → version, the lineage of a `related` version; it has `aligned`.

    Raises:
        StoreError: If a model is gone from MLflow, or is another than the version was made by.
    """
    # A bar for each of its files would say nothing to a service.
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    content: dict[str, ContentEncoder] = {
        space.name: load_reference(space.encoder or "").load(settings, versions[space.name])
        for space in content_spaces()
        if space.name in versions
    }
    return Models(content, load_aligned(settings, versions["aligned"]))


def _hint(space: str) -> str:
    return f"`twinvec train {space} --force`, then `twinvec run`, make a release anew; or promote another"


def _refuse_other(version: Version, preprocessing: str) -> None:
    """Refuse a version whose texts or images were prepared in another way than this code prepares them."""
    if preprocessing != Manifest.from_json(version.manifest).preprocessing:
        raise StoreError(
            f"the {version.space}s of {version.name} were prepared otherwise than this Twinvec prepares them",
            f"`twinvec run` makes a release with the {version.space}s of this one; until then, the Twinvec that made "
            "it answers",
        )


def _refuse_content(name: str, product: NewProduct) -> None:
    """Refuse content of a space that the release was made without."""
    content = load_reference(find_space(name).encoder or "").content_of(product)
    if content is not None:
        raise UnusableProductError(
            f"the product has {content}, and the live release was made without any",
            "leave it out, or make a release of a catalogue that has them",
        )


def _image_size(version: Version) -> int:
    """Return the pixels of a side that the exported encoder takes, whatever the settings say now."""
    import mlflow

    signature = mlflow.models.get_model_info(str(version.model_uri)).signature
    return int(signature.inputs.inputs[0].shape[-1])


def _twice(row: Tensor) -> Tensor:
    """Return a row twice, [2, …]: exported models take no batch of one row."""
    return torch.cat([row, row])
