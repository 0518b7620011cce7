import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pipelines.image.decoding import ImageError, decode

LIMIT = 1_000_000


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def header_only(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and has next to no data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_an_image_of_the_size_is_kept_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    decoded = decode(encoded(Image.fromarray(pixels), "png"), 16, LIMIT)
    np.testing.assert_array_equal(decoded, pixels.transpose(2, 0, 1))


def test_the_whole_image_is_padded_to_a_square_in_white() -> None:
    decoded = decode(encoded(Image.new("RGB", (40, 20), "red"), "png"), 16, LIMIT)
    assert decoded.shape == (3, 16, 16)
    assert (decoded[:, :4] == 255).all()
    assert (decoded[:, 12:] == 255).all()
    assert (decoded[:, 4:12] == np.array([255, 0, 0])[:, None, None]).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_what_is_transparent_is_white(mode: str) -> None:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode)
    content = encoded(image.convert("RGBA") if mode == "PA" else image, "png")
    assert (decode(content, 8, LIMIT) == 255).all()


def test_a_photograph_is_turned_upright() -> None:
    image = Image.new("RGB", (32, 32), "white")
    image.paste("black", (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    decoded = decode(encoded(image, "jpeg", exif=exif.tobytes()), 32, LIMIT)
    assert decoded[:, :14].min() > 200
    assert decoded[:, 18:].max() < 50


@pytest.mark.parametrize("kind", ["jpeg", "gif", "webp", "bmp", "tiff"])
@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_other_kinds_become_rgb(kind: str, mode: str) -> None:
    image = Image.new("L", (30, 30), 255).convert(mode)
    decoded = decode(encoded(image.convert("L") if kind in ("jpeg", "webp") else image, kind), 8, LIMIT)
    assert decoded.shape == (3, 8, 8)
    assert decoded.min() > 250


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an image"),
        (b"<html>404</html>", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not an image"),
        (header_only(8, 8), "a damaged image"),
        (encoded(Image.effect_noise((64, 64), 90), "png")[:900], "a damaged image"),
        (encoded(Image.effect_noise((64, 64), 90), "jpeg")[:900], "a damaged image"),
        (header_only(1_001, 1_000), "more than 1,000,000 pixels"),
        (header_only(100_000, 100_000), "more than 1,000,000 pixels"),
    ],
    ids=["empty", "text", "eps", "no data", "cut png", "cut jpeg", "large", "bomb"],
)
def test_what_is_no_good_image_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=rf"\A{reason}\Z"):
        decode(content, 16, LIMIT)


def test_random_damage_is_never_another_error() -> None:
    generator = np.random.default_rng(7)
    kinds = ("png", "jpeg", "gif", "webp", "tiff")
    contents = [encoded(Image.effect_noise((40, 40), 90), kind) for kind in kinds]
    refused = 0
    for trial in range(300):
        content = bytearray(contents[trial % len(contents)])
        for place in generator.integers(0, len(content), 6):
            content[place] = int(generator.integers(0, 256))
        try:
            assert decode(bytes(content), 16, LIMIT).shape == (3, 16, 16)
        except ImageError:
            refused += 1
    assert refused
