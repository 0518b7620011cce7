"""Cache of remote images on disk, so that each is fetched once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Lock

from pipelines.image.addresses import Address
from twinvec import files


class ImageCache:
    """A folder of image files, named by the digests of their addresses; a full cache accepts no more.

    Nothing is evicted: a catalogue is read from end to end, and the least recently read images are the first of the
    next reading.

    Args:
        folder: Folder of the cache, made when the first image is kept.
        max_bytes: Largest size of all files; files written by other processes meanwhile are not counted.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._used: int | None = None
        self._lock = Lock()

    def get(self, address: Address, max_bytes: int) -> bytes | None:
        """Return the image at an address, or None if it is not in the cache or has more than `max_bytes`."""
        try:
            with self._file(address).open("rb") as file:
                content = file.read(max_bytes + 1)
        except OSError:
            return None
        return content if len(content) <= max_bytes else None

    def put(self, address: Address, content: bytes) -> None:
        """Keep an image if there is room; a disk that is full or read-only is no error."""
        with self._lock:
            if self._used is None:
                self._used = sum(file.stat().st_size for file in self._folder.glob("??/*"))
            if self._used + len(content) > self._max_bytes:
                return
            self._used += len(content)
        try:
            files.write_bytes(self._file(address), content)
        except OSError:
            self._used = self._max_bytes

    def _file(self, address: Address) -> Path:
        name = hashlib.sha256(f"{address.archive} {address.path}".encode()).hexdigest()
        return self._folder / name[:2] / name
