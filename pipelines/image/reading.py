"""The products' images, read lazily and in batches; what cannot be read is left out with its reason."""

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
# Images of one archive come after one another, so that it is opened once, and in the order they mostly lie there.
ARCHIVE_SQL = f"CASE WHEN contains(image, '{CHAIN}') THEN image[instr(image, '{CHAIN}') :] ELSE '' END"
IMAGES_SQL = f"""
    {NAMED_SQL} ORDER BY {ARCHIVE_SQL}, CASE WHEN contains(image, '{CHAIN}') THEN image END, product_id
"""
# Products whose images are tried to find one that can be read: some of all the table, always the same.
TRIED, TRIED_AT_A_TIME = 256, 16
TRIED_SQL = f"{NAMED_SQL} ORDER BY hash(product_id), product_id LIMIT {TRIED}"

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ImageBatch:
    """Images of n products, and the products left out on the way.

    Attributes:
        product_ids: of the images, [n].
        pixels: RGB, uint8 [n, 3, size, size].
        skipped: columns as `SKIPPED`.
    """

    product_ids: list[str]
    pixels: Pixels
    skipped: pa.Table


def count_images(snapshot: Snapshot) -> int:
    """How many products name an image, whether it can be read or not."""
    with snapshot.connect() as connection:
        counted = connection.execute("SELECT count(image) FROM products").fetchone()
    return int(counted[0]) if counted else 0


def read_images(snapshot: Snapshot, options: ImageSettings, chunk: int) -> Iterator[ImageBatch]:
    """Give the images of all products that name one, `chunk` products at a time, always in one order.

    While a batch is being used, the next is read and decoded in threads: two batches are in memory.

    Args:
        snapshot: whose `image_root` is where relative paths start, and in whose home remote images are kept.
        options: the images' size, what may be read and how.
        chunk: products in a batch.
    """
    return _read(snapshot, options, IMAGES_SQL, chunk)


def reason_to_skip(snapshot: Snapshot, settings: Settings) -> str | None:
    """Why no image can be encoded, or None if one can: some of the images are read until there is one that can."""
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
    whose = f"{TRIED} of its {total:,} images" if total > TRIED else "its images"
    return f"none of {whose} can be read: {list_reasons(reasons)}"


def list_reasons(reasons: Counter[str]) -> str:
    """Reasons and how often each was met, the commonest first."""
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())


def _read(snapshot: Snapshot, options: ImageSettings, sql: str, chunk: int) -> Iterator[ImageBatch]:
    load = _loader(snapshot, options)
    pool = ThreadPoolExecutor(options.connections if options.remote else os.cpu_count())
    try:
        with snapshot.connect() as connection:
            before: tuple[pa.RecordBatch, list[Future[Pixels]]] | None = None
            for batch in connection.sql(sql).to_arrow_reader(chunk):
                coming = [pool.submit(load, image) for image in batch["image"].to_pylist()]
                if before is not None:
                    yield _collect(*before, options.size)
                before = batch, coming
            if before is not None:
                yield _collect(*before, options.size)
    finally:  # Whoever wants no more batches does not wait for the next one.
        pool.shutdown(cancel_futures=True)


def _loader(snapshot: Snapshot, options: ImageSettings) -> Callable[[str], Pixels]:
    """A function from the column `image` to pixels; it raises `AddressError` and `ImageError`."""
    fetcher = Fetcher(options.max_bytes, options.timeout, options.attempts)
    paths = HomePaths(snapshot.path.parents[1])
    cache = ImageCache(options.cache.expanduser() if options.cache else paths.images, options.cache_bytes)

    def load(image: str) -> Pixels:
        address = resolve(image, snapshot.image_root, options.remote)
        kept = cache.get(address, options.max_bytes) if address.server else None
        if kept is not None:
            with suppress(ImageError):
                return decode(kept, options.size, options.max_pixels)
        content = fetcher.read(address)
        pixels = decode(content, options.size, options.max_pixels)
        # Only now: a page that says sorry, or half an image, is asked for again the next time.
        if address.server:
            cache.put(address, content)
        return pixels

    return load


def _collect(batch: pa.RecordBatch, coming: list[Future[Pixels]], size: int) -> ImageBatch:
    """Wait for the images of a batch, and tell the good from the others."""
    product_ids, images, skipped = [], [], []
    columns = (column.to_pylist() for column in batch.columns)
    for product_id, image, pixels in zip(*columns, coming, strict=True):
        try:
            images.append(pixels.result())
            product_ids.append(product_id)
        except (AddressError, ImageError) as error:
            detail = str(error.__cause__)[:300] if error.__cause__ else None
            skipped.append((product_id, image, str(error), detail))
    stacked = np.stack(images) if images else np.zeros((0, 3, size, size), np.uint8)
    rows = zip(*skipped, strict=True) if skipped else ((),) * len(SKIPPED)
    return ImageBatch(product_ids, stacked, pa.table([*map(list, rows)], schema=SKIPPED))
