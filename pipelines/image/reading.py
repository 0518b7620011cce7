"""Reading of the products' images in batches; images that cannot be read are listed with the reason."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.image.addresses import CHAIN, AddressError, resolve
from pipelines.image.cache import ImageCache
from pipelines.image.decoding import ImageError, decode
from pipelines.image.fetching import Fetcher
from twinvec.catalogue.snapshot import Snapshot
from twinvec.paths import HomePaths
from twinvec.settings import ImageSettings, Settings

SKIPPED = pa.schema(
    [
        pa.field("product_id", pa.string(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
    ]
)
NAMED_SQL = "SELECT product_id, image FROM products WHERE image IS NOT NULL"
# Images of one archive come together, so that it is opened once, in their usual order within it.
ARCHIVE_SQL = f"CASE WHEN contains(image, '{CHAIN}') THEN image[instr(image, '{CHAIN}') :] ELSE '' END"
IMAGES_SQL = f"""
    {NAMED_SQL} ORDER BY {ARCHIVE_SQL}, CASE WHEN contains(image, '{CHAIN}') THEN image END, product_id
"""
# Products whose images are tried to find a readable one: a fixed sample of the table.
TRIED, TRIED_AT_A_TIME = 256, 16
TRIED_SQL = f"{NAMED_SQL} ORDER BY hash(product_id), product_id LIMIT {TRIED}"

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ImageBatch:
    """Images of n products, and the products of the batch that were left out.

    Attributes:
        product_ids: Ids of the products, [n].
        pixels: RGB, uint8 [n, 3, size, size].
        skipped: Products left out, columns as `SKIPPED`.
    """

    product_ids: list[str]
    pixels: Pixels
    skipped: pa.Table


def count_images(snapshot: Snapshot) -> int:
    """Return the number of products that name an image, readable or not."""
    with snapshot.connect() as connection:
        counted = connection.execute("SELECT count(image) FROM products").fetchone()
    return int(counted[0]) if counted else 0


def read_images(snapshot: Snapshot, options: ImageSettings, chunk: int) -> Iterator[ImageBatch]:
    """Yield the images of all products that name one, `chunk` products at a time, in a fixed order.

    The next batch is read and decoded in threads while a batch is used: two batches are in memory.

    Args:
        snapshot: Snapshot; relative paths start at its `image_root`, and its home has the cache of remote images.
        options: Settings of the size of images, and of reading them.
        chunk: Products in a batch.
    """
    return _read(snapshot, options, IMAGES_SQL, chunk)


def reason_to_skip(snapshot: Snapshot, settings: Settings) -> str | None:
    """Return the reason why no image can be encoded, or None; images are tried until one can be read."""
    if settings.image.scheme == "none":
        return "image.scheme is `none`"
    once = settings.image.model_copy(update={"attempts": 1})
    reasons: Counter[str] = Counter()
    for batch in _read(snapshot, once, TRIED_SQL, TRIED_AT_A_TIME):
        if batch.product_ids:
            return None
        reasons.update(batch.skipped["reason"].to_pylist())
    if not reasons:
        return "no product has an image"
    total = count_images(snapshot)
    images = f"{TRIED} of its {total:,} images" if total > TRIED else "its images"
    return f"none of {images} can be read: {list_reasons(reasons)}"


def list_reasons(reasons: Counter[str]) -> str:
    """Return the reasons and their counts as text, the most frequent first."""
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())


def _read(snapshot: Snapshot, options: ImageSettings, sql: str, chunk: int) -> Iterator[ImageBatch]:
    load = loader(snapshot, options)
    pool = ThreadPoolExecutor(options.connections if options.remote else os.cpu_count())
    try:
        with snapshot.connect() as connection:
            pending: tuple[pa.RecordBatch, list[Future[Pixels]]] | None = None
            for batch in connection.sql(sql).to_arrow_reader(chunk):
                futures = [pool.submit(load, image) for image in batch["image"].to_pylist()]
                if pending is not None:
                    yield _collect(*pending, options.size)
                pending = batch, futures
            if pending is not None:
                yield _collect(*pending, options.size)
    finally:  # A caller that stops early does not wait for the next batch.
        pool.shutdown(cancel_futures=True)


def loader(snapshot: Snapshot, options: ImageSettings) -> Callable[[str], Pixels]:
    """Return a function from the column `image` to pixels; it raises `AddressError` and `ImageError`."""
    fetcher = Fetcher(options.max_bytes, options.timeout, options.attempts, options.private_addresses)
    paths = HomePaths(snapshot.path.parents[1])
    cache = ImageCache(options.cache.expanduser() if options.cache else paths.images, options.cache_bytes)

    def load(image: str) -> Pixels:
        address = resolve(image, snapshot.image_root, options.remote, options.folders)
        cached = cache.get(address, options.max_bytes) if address.server else None
        if cached is not None:
            with suppress(ImageError):
                return decode(cached, options.size, options.max_pixels)
        content = fetcher.read(address)
        pixels = decode(content, options.size, options.max_pixels)
        # Kept only after decoding: an error page or half an image is fetched again the next time.
        if address.server:
            cache.put(address, content)
        return pixels

    return load


def _collect(batch: pa.RecordBatch, futures: list[Future[Pixels]], size: int) -> ImageBatch:
    """Wait for the images of a batch, and separate those that could be read from the others."""
    product_ids, images, skipped = [], [], []
    columns = (column.to_pylist() for column in batch.columns)
    for product_id, image, pixels in zip(*columns, futures, strict=True):
        try:
            images.append(pixels.result())
            product_ids.append(product_id)
        except (AddressError, ImageError) as error:
            detail = str(error.__cause__)[:300] if error.__cause__ else None
            skipped.append((product_id, image, str(error), detail))
    stacked = np.stack(images) if images else np.zeros((0, 3, size, size), np.uint8)
    rows = zip(*skipped, strict=True) if skipped else ((),) * len(SKIPPED)
    return ImageBatch(product_ids, stacked, pa.table([*map(list, rows)], schema=SKIPPED))
