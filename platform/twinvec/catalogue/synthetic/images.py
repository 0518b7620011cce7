"""Product images: a shape filled with a pattern in a colour, drawn from signed distances in batches."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from twinvec.catalogue.synthetic import vocabulary
from twinvec.catalogue.synthetic.layout import Layout
from twinvec.catalogue.synthetic.products import Products
from twinvec.catalogue.synthetic.shapes import PATTERN_MASKS, SHAPE_DISTANCES, Field, Pixels
from twinvec.draws import Doubles, uniform

SIZE = 64
"""Width and height in pixels."""
_BACKGROUND = np.array([247, 245, 241], dtype=np.float32)
# Rendered at once: some dozen arrays of this many times 64 × 64 floats fit in the processor's cache.
_CHUNK = 32


@dataclass(frozen=True)
class Poses:
    """Pose of the shape in each of n images; arrays are (n,)."""

    angle: Doubles
    """Degrees, counter-clockwise."""
    x: Doubles
    y: Doubles
    """Centre, in half widths from the image's centre."""
    scale: Doubles
    """Half the shape's size, in half widths."""


def poses_of(layout: Layout, products: Products) -> Poses:
    """Draw the poses: a function of the product, like everything else."""

    def between(stream: str, low: float, high: float) -> Doubles:
        return low + (high - low) * uniform(layout.seed, stream, products.index)

    return Poses(
        angle=between("angle", -40.0, 40.0),
        x=between("x", -0.15, 0.15),
        y=between("y", -0.15, 0.15),
        scale=between("scale", 0.6, 0.85),
    )


def render(products: Products, poses: Poses) -> NDArray[np.uint8]:
    """Render the images of n products: (n, 64, 64, 3), whether or not the product is to have one."""
    images = np.empty((len(products.index), SIZE, SIZE, 3), dtype=np.uint8)
    # Products of one shape together: a distance function is called once a chunk and not once a product.
    order = np.lexsort((products.pattern, products.shape))
    for first in range(0, len(order), _CHUNK):
        rows = order[first : first + _CHUNK]
        images[rows] = _render(products, poses, rows)
    return images


def png(image: NDArray[np.uint8]) -> bytes:
    """Encode an image, (height, width, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="png", compress_level=4)
    return buffer.getvalue()


def _render(products: Products, poses: Poses, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    axis = (np.arange(SIZE, dtype=np.float32) + 0.5) / (SIZE / 2) - 1.0
    angle = np.deg2rad(poses.angle[rows]).astype(np.float32)[:, None, None]
    scale = poses.scale[rows].astype(np.float32)[:, None, None]
    across = axis[None, None, :] - poses.x[rows].astype(np.float32)[:, None, None]
    down = axis[None, :, None] - poses.y[rows].astype(np.float32)[:, None, None]
    # The pixels in the shape's own frame, where it reaches from −1 to 1 and the vertical axis points up.
    u = (np.cos(angle) * across - np.sin(angle) * down) / scale
    v = (-np.sin(angle) * across - np.cos(angle) * down) / scale
    pixel = (2.0 / SIZE) / scale
    distance = _by_value(products.shape[rows], SHAPE_DISTANCES, u, v)
    mark = _by_value(products.pattern[rows], PATTERN_MASKS, u, v) / (1.5 * pixel)
    inside, inner = _step(distance, pixel), _step(distance + 2.0 * pixel, pixel)
    colours = np.array([colour.rgb for colour in vocabulary.COLOURS], dtype=np.float32)[products.colour[rows]]
    # Within the outline (0.6 of the colour) the fill goes from the colour to its tint (0.28 of it and the
    # rest white). Written as weights of white, colour and background, it takes two products a channel.
    white = 0.72 * 255.0 * inside * inner * np.clip(mark + 0.5, 0.0, 1.0)
    main = inside * (0.6 + inner * (0.4 - 0.72 * np.clip(mark + 0.5, 0.0, 1.0)))
    image = white[..., None] + main[..., None] * colours[:, None, None, :]
    image += (1.0 - inside)[..., None] * _BACKGROUND
    return np.asarray(np.round(image), dtype=np.uint8)


def _step(distance: Pixels, pixel: Pixels) -> Pixels:
    """Return the share of a pixel that is inside, from its signed distance."""
    return np.asarray(np.clip(0.5 - distance / pixel, 0.0, 1.0))


def _by_value(which: NDArray[np.int64], functions: tuple[Field, ...], u: Pixels, v: Pixels) -> Pixels:
    result = np.empty_like(u)
    for value in np.unique(which):
        chosen = which == value
        result[chosen] = functions[value](u[chosen], v[chosen])
    return result
