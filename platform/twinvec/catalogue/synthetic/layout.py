"""Layout of a store: type, ecosystem and rank of a product, computed from its index.

The types lie one after the other on the line of indices. Within a type the ecosystems (models or
collections of its world) alternate, so the products of one type and ecosystem, its *shelf*, are an
arithmetic progression:

    index = start[type] + ecosystem + ecosystems[type] · rank

A shelf holds one or more styles, which alternate by rank; `position = rank // styles` counts within a
style. The products of one style on one shelf are substitutes: they differ by colour, and often by brand.
Ranks are in order of popularity, as are ecosystems.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twinvec.catalogue.synthetic.taxonomy import WORLDS, ProductType, World
from twinvec.draws import Doubles, Ints, bits
from twinvec.errors import CatalogueError

MIN_PRODUCTS = 200
# Products of one style on one shelf, before remainders.
VARIANTS = 4
# (least products, worlds): a small store has few types, so that each has enough products to learn from.
_WORLDS_BY_SIZE = ((0, 4), (2_000, 8), (20_000, len(WORLDS)))


@dataclass(frozen=True)
class Layout:
    """The arithmetic of a store; arrays are by type, T of them, and by link of a type, at most L."""

    size: int
    seed: int
    worlds: tuple[World, ...]
    types: tuple[ProductType, ...]
    world: Ints
    """World of each type: (T,)."""
    is_base: NDArray[np.bool_]
    """True for the first type of each world: (T,)."""
    start: Ints
    """First index of each type: (T,)."""
    count: Ints
    """Products of each type: (T,)."""
    ecosystems: Ints
    """Ecosystems of each type's world: (T,)."""
    styles: Ints
    """Styles on a shelf of the type: (T,)."""
    accessory: Ints
    """Type at the other end of each link: (T, L), padded with 0."""
    strength: Doubles
    """Share of the buyers of the type's products who add one of the accessory's: (T, L), padded with 0."""

    @property
    def links(self) -> int:
        """L, the most links that a type has."""
        return int(self.accessory.shape[1])


@dataclass(frozen=True)
class Places:
    """Type, ecosystem and rank of products; all arrays have one shape."""

    type: Ints
    ecosystem: Ints
    rank: Ints
    group: Ints
    """Style's number on the shelf."""
    position: Ints
    """Place among the products of that style."""


def plan(size: int, seed: int) -> Layout:
    """Lay out a store of `size` products.

    Raises:
        CatalogueError: If `size` is too small to give every type a full shelf.
    """
    if size < MIN_PRODUCTS:
        raise CatalogueError(
            f"a synthetic store of {size} products is too small", f"ask for at least {MIN_PRODUCTS}"
        )
    worlds = WORLDS[: max(count for least, count in _WORLDS_BY_SIZE if size >= least)]
    types = tuple(kind for world in worlds for kind in world.types)
    world = np.repeat(np.arange(len(worlds)), [len(each.types) for each in worlds])
    is_base = np.diff(world, prepend=-1) > 0
    styles = np.array([kind.styles for kind in types])
    unit = size // int(styles.sum())
    count = unit * styles
    count[: size - count.sum()] += 1  # the remainder is less than the number of units: at most two a type
    count[0] += size - count.sum()
    accessory, strength = _links(worlds)
    return Layout(
        size=size,
        seed=seed,
        worlds=worlds,
        types=types,
        world=world,
        is_base=is_base,
        start=np.cumsum(count) - count,
        count=count,
        ecosystems=np.full(len(types), unit // VARIANTS),
        styles=styles,
        accessory=accessory,
        strength=strength,
    )


def places_of(layout: Layout, index: Ints) -> Places:
    """Find where the products of these indices stand."""
    kind = np.searchsorted(layout.start, index, side="right") - 1
    rank, ecosystem = np.divmod(index - layout.start[kind], layout.ecosystems[kind])
    position, group = np.divmod(rank, layout.styles[kind])
    return Places(kind, ecosystem, rank, group, position)


def index_of(layout: Layout, kind: Ints, ecosystem: Ints, rank: Ints) -> Ints:
    """Find the product of a type, ecosystem and rank; the inverse of `places_of`."""
    return np.asarray(layout.start[kind] + ecosystem + layout.ecosystems[kind] * rank)


def shelf_size(layout: Layout, kind: Ints, ecosystem: Ints) -> Ints:
    """Count the products of a type and ecosystem."""
    return np.asarray((layout.count[kind] - 1 - ecosystem) // layout.ecosystems[kind] + 1)


def style_size(layout: Layout, places: Places) -> Ints:
    """Count the products that share the shelf and the style of each of these, itself included."""
    shelf = shelf_size(layout, places.type, places.ecosystem)
    return np.asarray((shelf - 1 - places.group) // layout.styles[places.type] + 1)


def product_ids(layout: Layout, index: Ints) -> NDArray[np.bytes_]:
    """Name products: `T` and eight letters or digits, different for different indices, in no visible order.

    Returns:
        An array of the shape of `index`, dtype `S9`.
    """
    # Each step is a bijection of 40-bit numbers, so ids are unique by construction.
    mask = np.uint64((1 << 40) - 1)
    offset, factor = bits(layout.seed, "product id", np.arange(2)) & mask
    code = index.astype(np.uint64) ^ offset
    for _ in range(2):
        code = (code * (factor | np.uint64(1))) & mask
        code ^= code >> np.uint64(20)
    shifts = np.arange(35, -1, -5, dtype=np.uint64)
    letters = _ALPHABET[((code[..., None] >> shifts) & np.uint64(31)).astype(np.intp)]
    return np.char.add(b"T", np.ascontiguousarray(letters).view("S8")[..., 0])


def row_order(layout: Layout, row: Ints) -> Ints:
    """Find which product stands in a row of the products table: a permutation that mixes the types."""
    step = int(layout.size * 0.618) | 1
    while np.gcd(step, layout.size) != 1:
        step += 2
    return (row * step + layout.seed % layout.size) % layout.size


_ALPHABET = np.frombuffer(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ", dtype="S1")


def _links(worlds: tuple[World, ...]) -> tuple[Ints, Doubles]:
    rows: list[list[tuple[int, float]]] = []
    for world in worlds:
        first = len(rows)
        rows.extend([] for _ in world.types)
        for base, accessory, strength in world.links:
            rows[first + base].append((first + accessory, strength))
    width = max(len(row) for row in rows)
    padded = np.array([row + [(0, 0.0)] * (width - len(row)) for row in rows])
    return padded[:, :, 0].astype(np.int64), padded[:, :, 1]
