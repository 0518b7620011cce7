"""Encoding of a listing that is not in the catalogue, as the live release encoded its own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipelines.image.decoding import ImageError, decode
from pipelines.image.encoder import encode_images
from pipelines.similar.images import image_settings
from pipelines.similar.listings import LISTED, text_of
from pipelines.similar.models import image_length, load_models
from pipelines.text.encoder import encode_texts
from registry.models import Version
from twinvec.serving.related import UnusableProductError
from twinvec.serving.similar import NewListing
from twinvec.workspace import Workspace


class NewListings:
    """The encoders of texts and images and the fusion encoder of one version.

    Args:
        workspace: Stores.
        version: Version of `similar` that is live.

    Raises:
        StoreError: If its model is gone, or the settings name other encoders than it was trained on.
    """

    def __init__(self, workspace: Workspace, version: Version) -> None:
        self._settings = workspace.settings
        models = load_models(workspace.settings, version, torch.device("cpu"))
        self._model = models.fusion
        self._text, self._image = models.encoders.text, models.encoders.image

    def encode(self, listing: NewListing) -> npt.NDArray[np.float32]:
        """Return the vector of a listing, of unit length, float32 [d].

        Raises:
            UnusableProductError: If nothing is said of it that the version reads, or its image cannot be used.
        """
        options = self._settings.similar
        row = {name: getattr(listing, name) for name in LISTED.names if name != "attributes"}
        text = text_of(options.words, row | {"attributes": list(listing.attributes.items())})
        has_image = listing.image is not None and self._image is not None
        if text is None and not has_image:
            raise UnusableProductError(
                "nothing is said of the listing that the live release reads",
                "give it a title or attributes" + (", or an image" if self._image is not None else ""),
            )
        text_vector = encode_texts(self._text, [text or ""], 1)[0]
        image_vector = np.zeros(image_length(self._model), np.float32)
        if listing.image is not None and self._image is not None:
            images = image_settings(self._settings)
            if len(listing.image) > images.max_bytes:
                raise UnusableProductError(
                    f"the image has more than {images.max_bytes:,} bytes", "give a smaller one"
                )
            try:
                pixels = decode(listing.image, images.size, images.max_pixels)
            except ImageError as error:
                raise UnusableProductError(
                    f"the image cannot be used: {error}", "give a whole image file"
                ) from error
            image_vector = encode_images(self._image, pixels[None], 1)[0]
        with torch.inference_mode():
            vector: Tensor = self._model(
                _twice(torch.from_numpy(text_vector)),
                torch.full((2,), text is not None),
                _twice(torch.from_numpy(image_vector)),
                torch.full((2,), has_image),
            )[0]
        encoded: npt.NDArray[np.float32] = vector.numpy()
        return encoded


def _twice(row: Tensor) -> Tensor:
    """Return a row twice, [2, …]: exported models take no batch of one."""
    return torch.stack([row, row])
