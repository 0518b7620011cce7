"""Interface of small pictures of products; `pipelines.image` implements it."""

from __future__ import annotations

from typing import Protocol

from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import NotFoundError


class NoPictureError(NotFoundError):
    """The product has no image, or it cannot be read."""


class Thumbnails(Protocol):
    """Interface of small pictures."""

    def __call__(self, snapshot: Snapshot, image: str) -> bytes:
        """Return a small picture, JPEG, of an image as a snapshot's column `image` names it.

        Raises:
            NoPictureError: If it cannot be read, or must not be.
        """
        ...
