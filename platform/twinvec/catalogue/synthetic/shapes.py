"""Shapes as signed distances and patterns as masks, in a frame where a shape reaches from −1 to 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.floating[Any]]
Field = Callable[[Pixels, Pixels], Pixels]


def _circle(u: Pixels, v: Pixels) -> Pixels:
    return _length(u, v) - np.float32(0.9)


def _square(u: Pixels, v: Pixels) -> Pixels:
    return _box(u, v, 0.78, 0.78)


def _box(u: Pixels, v: Pixels, width: float, height: float) -> Pixels:
    across, up = np.abs(u) - np.float32(width), np.abs(v) - np.float32(height)
    return _length(np.maximum(across, 0), np.maximum(up, 0)) + np.minimum(np.maximum(across, up), 0)


def _polygon(u: Pixels, v: Pixels, sides: int, radius: float) -> Pixels:
    """Return the distance to a regular polygon's sides (beyond its corners a little too small), one corner up."""
    sector = 2 * math.pi / sides
    angle = np.arctan2(u, v)
    folded = np.abs((angle % sector) - sector / 2)
    return _length(u, v) * np.cos(folded) - np.float32(radius * math.cos(sector / 2))


def _triangle(u: Pixels, v: Pixels) -> Pixels:
    return _polygon(u, v + np.float32(0.2), 3, 1.15)


def _hexagon(u: Pixels, v: Pixels) -> Pixels:
    return _polygon(u, v, 6, 0.98)


def _star(u: Pixels, v: Pixels) -> Pixels:
    # A line from an outer corner (radius 1.05) to an inner one (0.48), mirrored into ten half sectors.
    half = math.pi / 5
    folded = np.abs(((np.arctan2(u, v) + half) % (2 * half)) - half)
    radius = _length(u, v)
    x, y = radius * np.sin(folded), radius * np.cos(folded)
    corner_x, corner_y = 0.48 * math.sin(half), 0.48 * math.cos(half)
    side_x, side_y = corner_x, corner_y - 1.05
    return np.asarray((side_x * (1.05 - y) + side_y * x) / -math.hypot(side_x, side_y), dtype=np.float32)


def _heart(u: Pixels, v: Pixels) -> Pixels:
    # In a frame of its own: the point at (0, 0), the lobes quarter circles about (±0.25, 0.75).
    x, y = np.abs(u) * np.float32(0.62), v * np.float32(0.62) + np.float32(0.52)
    lobe = _length(x - np.float32(0.25), y - np.float32(0.75)) - np.float32(math.sqrt(2) / 4)
    along = np.maximum(x + y, 0) / 2
    side = np.minimum(_length(x, y - 1), _length(x - along, y - along)) * np.sign(x - y)
    return np.where(x + y > 1, lobe, side) / np.float32(0.62)


def _diamond(u: Pixels, v: Pixels) -> Pixels:
    # Corners at (±0.68, 0) and (0, ±1).
    return (np.abs(u) + np.float32(0.68) * np.abs(v) - np.float32(0.68)) / np.float32((1 + 0.68**2) ** 0.5)


def _cross(u: Pixels, v: Pixels) -> Pixels:
    return np.asarray(np.minimum(_box(u, v, 0.9, 0.3), _box(u, v, 0.3, 0.9)))


def _ring(u: Pixels, v: Pixels) -> Pixels:
    return np.asarray(np.abs(_length(u, v) - np.float32(0.68)) - np.float32(0.26))


def _crescent(u: Pixels, v: Pixels) -> Pixels:
    bite = np.float32(0.7) - _length(u - np.float32(0.45), v)
    return np.asarray(np.maximum(_length(u, v) - np.float32(0.95), bite))


def _leaf(u: Pixels, v: Pixels) -> Pixels:
    farther = np.maximum(_length(u - np.float32(0.6), v), _length(u + np.float32(0.6), v))
    return np.asarray(farther - np.float32(1.15))


def _flower(u: Pixels, v: Pixels) -> Pixels:
    petals = np.float32(0.2) * np.cos(6 * np.arctan2(u, v))
    return np.asarray(_length(u, v) - np.float32(0.74) - petals)


def _length(u: Pixels, v: Pixels) -> Pixels:
    # Several times as fast as hypot, whose care for overflow is not needed here.
    return np.sqrt(u * u + v * v)


def _plain(u: Pixels, _v: Pixels) -> Pixels:
    return np.full_like(u, -1.0)


def _striped(_u: Pixels, v: Pixels) -> Pixels:
    return _wave(v)


def _dotted(u: Pixels, v: Pixels) -> Pixels:
    return np.float32(0.12) - _length(_fold(u), _fold(v))


def _checked(u: Pixels, v: Pixels) -> Pixels:
    return np.where((_cell(u) + _cell(v)) % 2 == 0, 1, -1) * np.minimum(_border(u), _border(v))


def _zigzag(u: Pixels, v: Pixels) -> Pixels:
    return _wave(v + np.float32(0.8) * np.abs(_fold(u)))


def _wavy(u: Pixels, v: Pixels) -> Pixels:
    return _wave(v + np.float32(0.1) * np.sin(np.float32(7.0) * u))


def _grid(u: Pixels, v: Pixels) -> Pixels:
    return np.float32(0.06) - np.minimum(np.abs(_fold(u)), np.abs(_fold(v)))


def _ringed(u: Pixels, v: Pixels) -> Pixels:
    return _wave(_length(u, v))


_PERIOD = np.float32(0.44)


def _fold(x: Pixels) -> Pixels:
    """Return the distance with sign to the nearest multiple of the period."""
    return x - _PERIOD * np.round(x / _PERIOD)


def _wave(x: Pixels) -> Pixels:
    """Return a triangle wave: the distance into bands as wide as the gaps between them."""
    return np.abs(_fold(x)) - _PERIOD / 4


def _cell(x: Pixels) -> Pixels:
    return np.asarray(np.floor(x / (_PERIOD / 1.4)))


def _border(x: Pixels) -> Pixels:
    """Return the distance to the nearest border of a cell."""
    side = _PERIOD / np.float32(1.4)
    return np.abs(x - side * np.round(x / side))


# In the order of `vocabulary.SHAPES` and `vocabulary.PATTERNS`. A distance is negative inside the shape; a
# mask is positive where the lighter tint goes, by about the distance to its border.
SHAPE_DISTANCES: tuple[Field, ...] = (
    _circle,
    _square,
    _triangle,
    _hexagon,
    _star,
    _heart,
    _diamond,
    _cross,
    _ring,
    _crescent,
    _leaf,
    _flower,
)
PATTERN_MASKS: tuple[Field, ...] = (
    _plain,
    _striped,
    _dotted,
    _checked,
    _zigzag,
    _wavy,
    _grid,
    _ringed,
)
