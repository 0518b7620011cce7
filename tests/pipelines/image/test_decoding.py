import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pipelines.image.decoding import LONGEST, ImageError, decode, levels

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
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (20, 0, 40, 20))
    decoded = decode(encoded(image, "png"), 16, LIMIT)
    assert decoded.shape == (3, 16, 16)
    assert (decoded[:, :4] == 255).all()
    assert (decoded[:, 12:] == 255).all()
    assert (decoded[:, 4:12, :6] == np.array([255, 0, 0])[:, None, None]).all()
    assert (decoded[:, 4:12, 10:] == np.array([0, 0, 255])[:, None, None]).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_what_is_transparent_is_white(mode: str) -> None:
    transparent = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    transparent.paste((0, 0, 0, 255), (0, 0, 2, 8))
    image = transparent.convert(mode)
    decoded = decode(encoded(image.convert("RGBA") if mode == "PA" else image, "png"), 8, LIMIT)
    assert (decoded[:, :, :2] == 0).all()
    assert (decoded[:, :, 2:] == 255).all()


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
    image = Image.new("L", (30, 30), 255)
    image.paste(0, (0, 0, 30, 8))
    image = image.convert(mode)
    decoded = decode(encoded(image.convert("L") if kind in ("jpeg", "webp") else image, kind), 8, LIMIT)
    assert decoded.shape == (3, 8, 8)
    assert decoded[:, 4:].min() > 250
    assert decoded[:, :1].max() < 10


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


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_grey_of_more_bits_is_scaled_by_its_range(bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, (16, 16), np.uint16)
    values[0, 0], values[0, 1] = 0, 2**bits - 1
    expected = np.rint(values.astype(float) * 255 / (2**bits - 1)).astype(np.uint8)
    for kind in ("png", "tiff"):
        decoded = decode(encoded(Image.fromarray(values), kind), 16, LIMIT)
        np.testing.assert_array_equal(decoded, np.repeat(expected[None], 3, axis=0))


@pytest.mark.parametrize("scale", [1.0, 200.0, 60_000.0, 1e9])
def test_grey_of_floats_is_scaled_by_its_range(scale: float) -> None:
    values = (np.random.default_rng(3).random((16, 16)) * scale).astype(np.float32)
    values[0, :3] = 0, scale, np.nan
    most = {1.0: 1.0, 200.0: 255.0, 60_000.0: 65_535.0}.get(scale, float(np.nanmax(values)))
    decoded = decode(encoded(Image.fromarray(values), "tiff"), 16, LIMIT)
    expected = np.rint(np.nan_to_num(values.astype(float)) / most * 255)
    np.testing.assert_allclose(decoded[0], expected, atol=1)


def test_negative_grey_is_spread_from_black_to_white() -> None:
    assert levels(np.array([[-5, 0, 5]], np.int32)).tolist() == [[0, 128, 255]]
    assert levels(np.full((2, 2), np.nan, np.float32)).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("size", [(2000, 20), (20, 2000), (900, 1)])
def test_the_middle_of_an_extreme_shape_is_seen(size: tuple[int, int]) -> None:
    noise = Image.effect_noise(size, 90).convert("RGB")
    decoded = decode(encoded(noise, "png"), 32, LIMIT)
    seen = (decoded != 255).any(axis=0)
    assert min(seen.any(axis=0).sum(), seen.any(axis=1).sum()) >= 32 // LONGEST
    short = min(size)
    left, top = ((side - min(side, LONGEST * short)) // 2 for side in size)
    kept = noise.crop((left, top, size[0] - left, size[1] - top))
    np.testing.assert_array_equal(decoded, decode(encoded(kept, "png"), 32, LIMIT))


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp"])
def test_a_picture_of_nearly_one_colour_is_blank(kind: str) -> None:
    for size in ((1, 1), (300, 200), (300, 2)):
        grey = np.random.default_rng(size[0]).integers(250, 254, (*size[::-1], 3), np.uint8)
        with pytest.raises(ImageError, match=r"\Ablank\Z"):
            decode(encoded(Image.fromarray(grey), kind), 32, LIMIT)
    mark = Image.new("RGB", (300, 200), "white")
    mark.paste("black", (140, 90, 170, 120))
    assert decode(encoded(mark, kind), 32, LIMIT).min() < 100
