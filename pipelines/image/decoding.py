"""Decoding of image files to pixels of one size."""

from __future__ import annotations

import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from twinvec import digest

# Formats that Pillow reads by itself: for others, such as EPS, it starts another program.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
BACKGROUND = "white"
# Part of the digest; change it with `decode`.
PROCEDURE = "upright, transparency on white, RGB, padded to a square in white, bicubic"


def preprocessing_digest(size: int) -> str:
    """Return the digest of the preprocessing of an image: how it is decoded, to `size` pixels a side."""
    return digest.of_json({"size": size, "procedure": PROCEDURE})


class ImageError(Exception):
    """An image that cannot be used; the message is the reason, and the cause has the details."""


def decode(content: bytes, size: int, max_pixels: int) -> npt.NDArray[np.uint8]:
    """Decode an image: upright, on white where it is transparent, padded to a square.

    Args:
        content: Content of an image file.
        size: Pixels of a side of the result.
        max_pixels: Largest number of pixels; a larger image is refused before it is decoded.

    Returns:
        RGB, uint8 [3, size, size].

    Raises:
        ImageError: If it is not an image, is damaged, or has too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large and of unusual images.
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise ImageError(f"more than {max_pixels:,} pixels")
                image.draft("RGB", (2 * size, 2 * size))  # Decodes a JPEG at no larger size than needed.
                return _square(image, size)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"more than {max_pixels:,} pixels") from error
    except UnidentifiedImageError as error:
        raise ImageError("not an image") from error
    except Exception as error:  # Pillow's decoders raise many kinds of errors: one image must not end a run.
        raise ImageError("a damaged image") from error


def _square(image: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        picture = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", picture.size, BACKGROUND), picture)
    padded = ImageOps.pad(upright.convert("RGB"), (size, size), Image.Resampling.BICUBIC, BACKGROUND)
    return np.asarray(padded).transpose(2, 0, 1)
