"""Small pictures of products, read as the image encoder reads them: within the same folders, limits and cache."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

from PIL import Image

from pipelines.image.addresses import AddressError
from pipelines.image.decoding import ImageError
from pipelines.image.reading import Pixels, loader
from twinvec.catalogue.snapshot import Snapshot
from twinvec.serving.explore.thumbnails import NoPictureError
from twinvec.settings import ImageSettings


class Thumbnails:
    """Reads small pictures of products; may be used by several threads.

    Args:
        settings: Settings of images; a fetch is tried once, since somebody waits for it.
    """

    def __init__(self, settings: ImageSettings) -> None:
        self._settings = settings.model_copy(update={"attempts": 1})
        self._loaders: dict[str, Callable[[str], Pixels]] = {}
        self._mutex = threading.Lock()

    def __call__(self, snapshot: Snapshot, image: str) -> bytes:
        """Return a small picture, JPEG, of an image as the snapshot's column `image` names it.

        Raises:
            NoPictureError: If it cannot be read, or must not be.
        """
        with self._mutex:
            load = self._loaders.get(snapshot.id)
            if load is None:
                load = self._loaders[snapshot.id] = loader(snapshot, self._settings)
        try:
            pixels = load(image)
        except (AddressError, ImageError) as error:
            raise NoPictureError(
                f"the image cannot be shown: {error}", "see image.* of the settings"
            ) from error
        target = io.BytesIO()
        Image.fromarray(pixels.transpose(1, 2, 0)).save(target, "jpeg", quality=85)
        return target.getvalue()
