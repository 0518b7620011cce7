"""The products' images, read lazily and in batches; what cannot be read is left out with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.image.addresses import CHAIN, SCHEME, Address, AddressError, resolve
from pipelines.image.decoding import ImageError, decode
from twinvec.catalogue.snapshot import Snapshot
from twinvec.settings import ImageSettings, Settings

SKIPPED = pa.schema(
    [
        pa.field("product_id", pa.string(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
    ]
)
# Images of one archive come after one another, so that it is opened once.
IMAGES_SQL = f"""
    SELECT product_id, image FROM products WHERE image IS NOT NULL
    ORDER BY CASE WHEN contains(image, '{CHAIN}') THEN image[instr(image, '{CHAIN}') :] ELSE '' END, product_id
"""
SECONDS_FOR_ONE = 30
# Products whose images are tried at a time, to find one that can be read.
TRIED = 64
UNOPENED = "its archive cannot be opened"


@dataclass(frozen=True)
class ImageBatch:
    """Images of n products, and the products left out on the way.

    Attributes:
        product_ids: of the images, [n].
        pixels: RGB, uint8 [n, 3, size, size].
        skipped: columns as `SKIPPED`.
    """

    product_ids: list[str]
    pixels: npt.NDArray[np.uint8]
    skipped: pa.Table


def count_images(snapshot: Snapshot) -> int:
    """How many products name an image, whether it can be read or not."""
    with snapshot.connect() as connection:
        counted = connection.execute("SELECT count(image) FROM products").fetchone()
    return int(counted[0]) if counted else 0


def read_images(snapshot: Snapshot, options: ImageSettings, chunk: int) -> Iterator[ImageBatch]:
    """Give the images of all products that name one, `chunk` products at a time.

    Args:
        snapshot: whose `image_root` is where relative paths start.
        options: the images' size, and what may be read.
        chunk: products in a batch.
    """
    archive = Archive()
    with snapshot.connect() as connection:
        for batch in connection.sql(IMAGES_SQL).to_arrow_reader(chunk):
            product_ids, images, skipped = [], [], []
            for product_id, image in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                try:
                    address = resolve(image, snapshot.image_root, options.remote)
                    content = archive.read(address, options.max_bytes)
                    images.append(decode(content, options.size, options.max_pixels))
                    product_ids.append(product_id)
                except (AddressError, ImageError) as error:
                    detail = str(error.__cause__)[:300] if error.__cause__ else None
                    skipped.append((product_id, image, str(error), detail))
            shape = (len(images), 3, options.size, options.size)
            pixels = np.stack(images) if images else np.zeros(shape, np.uint8)
            columns = zip(*skipped, strict=True) if skipped else ((),) * len(SKIPPED)
            yield ImageBatch(product_ids, pixels, pa.table([*map(list, columns)], schema=SKIPPED))


def reason_to_skip(snapshot: Snapshot, settings: Settings) -> str | None:
    """Why no image can be encoded, or None if one can: images are read until there is one."""
    reasons: Counter[str] = Counter()
    for batch in read_images(snapshot, settings.image, TRIED):
        if batch.product_ids:
            return None
        reasons.update(batch.skipped["reason"].to_pylist())
    return (
        f"none of its images can be read: {list_reasons(reasons)}" if reasons else "no product has an image"
    )


def list_reasons(reasons: Counter[str]) -> str:
    """Reasons and how often each was met, the commonest first."""
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())


class Archive:
    """Opens addresses, and keeps the last archive open."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._files: fsspec.AbstractFileSystem | None = None

    def read(self, address: Address, max_bytes: int) -> bytes:
        """The bytes at an address.

        Raises:
            ImageError: if there is nothing, more than `max_bytes`, or something that cannot be read.
        """
        try:
            if address.archive is None:
                files, path = fsspec.url_to_fs(address.path, **_options(address.path))
            else:
                files, path = self._open(address.archive), address.path
            with files.open(path, "rb") as file:
                content: bytes = file.read(max_bytes + 1)
        except ImageError:
            raise
        except (FileNotFoundError, KeyError) as error:
            raise ImageError("missing") from error
        except Exception as error:  # Each file system has its own: one image must not end a run.
            raise ImageError("cannot be read") from error
        if len(content) > max_bytes:
            raise ImageError(f"more than {max_bytes:,} bytes")
        return content

    def _open(self, archive: str) -> fsspec.AbstractFileSystem:
        """The archive; one that cannot be opened is tried once and not for each of its images."""
        if self._name != archive:
            self._name, self._files = archive, None
            try:
                self._files, _ = fsspec.url_to_fs(archive, **_options(archive))
            except Exception as error:
                raise ImageError(UNOPENED) from error
        if self._files is None:
            raise ImageError(UNOPENED)
        return self._files


def _options(url: str) -> dict[str, Any]:
    """Keep a web server that does not answer from holding a run up; in a chain, options are by link."""
    scheme = url.rpartition(CHAIN)[2].partition(SCHEME)[0]
    if scheme not in {"http", "https"}:
        return {}
    wait = {"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=SECONDS_FOR_ONE)}}
    return {scheme: wait} if CHAIN in url else wait
