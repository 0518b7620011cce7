"""From the bytes of an image file to pixels of one size."""

from __future__ import annotations

import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from twinvec import digest

# Those that Pillow reads by itself: for others, such as EPS, it starts another program.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
BACKGROUND = "white"
# To be changed with `decode`.
PROCEDURE = "upright, transparency on white, RGB, padded to a square in white, bicubic"


def preprocessing_digest(size: int) -> str:
    """Digest of what becomes of an image before the weights: how it is decoded, to `size` pixels a side."""
    return digest.of_json({"size": size, "procedure": PROCEDURE})


class ImageError(Exception):
    """An image that cannot be used; the message is the reason, the cause has the details."""


def decode(content: bytes, size: int, max_pixels: int) -> npt.NDArray[np.uint8]:
    """Decode an image: upright, on white where it is transparent, the whole of it in a square.

    Args:
        content: of an image file.
        size: pixels of a side of the result.
        max_pixels: an image of more is refused before it is decoded.

    Returns:
        RGB, uint8 [3, size, size].

    Raises:
        ImageError: if it is not an image, is damaged, or has too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own warnings of large and of odd images.
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise ImageError(f"more than {max_pixels:,} pixels")
                image.draft("RGB", (2 * size, 2 * size))  # A JPEG is decoded no larger than it need be.
                return _square(image, size)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"more than {max_pixels:,} pixels") from error
    except UnidentifiedImageError as error:
        raise ImageError("not an image") from error
    except Exception as error:  # Pillow's decoders raise whatever comes: one image must not end a run.
        raise ImageError("a damaged image") from error


def _square(image: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        picture = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", picture.size, BACKGROUND), picture)
    padded = ImageOps.pad(upright.convert("RGB"), (size, size), Image.Resampling.BICUBIC, BACKGROUND)
    return np.asarray(padded).transpose(2, 0, 1)
