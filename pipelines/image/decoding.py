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
# Of a longer or wider picture the middle is kept: scaled down whole, too little of it would be left to see.
LONGEST = 4
# Brightest level minus darkest in every channel, up to which a picture shows nothing; noise of JPEG stays below.
BLANK = 8
# A picture of more than 8 bits says nowhere how many it uses. The brightest value tells: cameras give 10 to 16.
DEPTHS = (8, 10, 12, 14, 16)
# Part of the digest; change it with `decode`.
PROCEDURE = (
    "upright, 8 bits by the range of values, transparency on white, RGB, the middle of up to 4 to 1, "
    "padded to a square in white, bicubic"
)


def preprocessing_digest(size: int) -> str:
    """Return the digest of the preprocessing of an image: how it is decoded, to `size` pixels a side."""
    return digest.of_json({"size": size, "procedure": PROCEDURE})


class ImageError(Exception):
    """An image that cannot be used; the message is the reason, and the cause has the details."""


def decode(content: bytes, size: int, max_pixels: int) -> npt.NDArray[np.uint8]:
    """Decode an image: upright, on white where it is transparent, padded to a square.

    Grey of more than 8 bits is scaled by the range of its values (`levels`). Of a picture more than `LONGEST` times as
    long as wide, or as wide as long, the middle is used.

    Args:
        content: Content of an image file.
        size: Pixels of a side of the result.
        max_pixels: Largest number of pixels; a larger image is refused before it is decoded.

    Returns:
        RGB, uint8 [3, size, size].

    Raises:
        ImageError: If it is not an image, is damaged, has too many pixels, or is blank: nearly of one colour.
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
    if upright.mode == "F" or upright.mode.startswith("I"):
        upright = Image.fromarray(levels(np.asarray(upright)))
    if upright.has_transparency_data:
        picture = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", picture.size, BACKGROUND), picture)
    picture = _middle(upright.convert("RGB"))
    if _is_blank(picture, size):
        raise ImageError("blank")
    padded = ImageOps.pad(picture, (size, size), Image.Resampling.BICUBIC, BACKGROUND)
    return np.asarray(padded).transpose(2, 0, 1)


def levels(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Scale grey values to 8 bits by their range.

    Floats from 0 to 1 are shares of white. Others are counted in the fewest bits of `DEPTHS` that hold them. If some
    are negative, or need more than 16 bits, the darkest becomes black and the brightest white.

    Args:
        values: Integers or floats [height, width]; what is not finite counts as the darkest.
    """
    grey = np.asarray(values, np.float64)
    finite = grey[np.isfinite(grey)]
    if not finite.size:
        return np.zeros(grey.shape, np.uint8)
    low, high = float(finite.min()), float(finite.max())
    grey = np.where(np.isfinite(grey), grey, low)
    whole = np.issubdtype(values.dtype, np.integer)
    most = 1.0 if not whole and high <= 1 else next((2.0**bits - 1 for bits in DEPTHS if high < 2**bits), 0.0)
    if low < 0 or not most:
        grey, most = grey - low, max(high - low, np.finfo(np.float64).tiny)
    return np.rint(grey / most * 255).astype(np.uint8)


def _middle(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    kept = min(width, LONGEST * height), min(height, LONGEST * width)
    if kept == picture.size:
        return picture
    left, top = (width - kept[0]) // 2, (height - kept[1]) // 2
    return picture.crop((left, top, left + kept[0], top + kept[1]))


def _is_blank(picture: Image.Image, size: int) -> bool:
    """Return whether a picture is of nearly one colour, before it is padded with another."""
    small = picture.copy()
    small.thumbnail((4 * size, 4 * size))
    return all(high - low <= BLANK for low, high in small.getextrema())  # type: ignore[misc]
