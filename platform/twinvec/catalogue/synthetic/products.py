"""Attributes of a product, computed from its index: look, market, price, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twinvec.catalogue.synthetic import vocabulary
from twinvec.catalogue.synthetic.layout import Layout, Places, places_of
from twinvec.draws import Doubles, Ints, bits, integers, normal, uniform

COLD = 0.05
NO_IMAGE = 0.03
NO_PRICE = 0.03
NO_HOME_TITLE = 0.03
NO_BRAND = 0.02
SOLD_ABROAD = 0.225
"""Chance that a product is sold in one given marketplace besides its home; about 40% are in some."""
# Steps coprime to the numbers of styles (96) and colours (12), so that neighbours differ until all are used.
_STYLE_STEP = 37
_COLOUR_STEP = 5
_GOLDEN_SHARE = 0.6180339887498949

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Products:
    """Attributes of a batch of n products; every array is (n,) unless it says otherwise."""

    index: Ints
    places: Places
    home: Ints
    """Marketplace, as a position in `vocabulary.MARKETPLACES`."""
    sold_in: Flags
    """Marketplaces in which it is sold: (n, 3)."""
    titled: Flags
    """Marketplaces in whose language it has a title: (n, 3)."""
    brand: Ints
    has_brand: Flags
    """True if the brand is in its column; the title always names it."""
    shape: Ints
    pattern: Ints
    colour: Ints
    price: Doubles
    """Price in the home's currency; NaN if not known."""
    has_image: Flags
    cold: Flags
    """True if the product is never bought or viewed."""


def products_at(layout: Layout, index: Ints) -> Products:
    """Compute the attributes of the products of these indices: (n,)."""
    seed, places = layout.seed, places_of(layout, index)
    home, sold_in = _markets(layout, index, places)
    lost = uniform(seed, "no home title", index) < NO_HOME_TITLE
    titled = sold_in & ~(lost[:, None] & (home[:, None] == np.arange(len(vocabulary.MARKETPLACES))))
    shape, pattern = _style(layout, places)
    return Products(
        index=index,
        places=places,
        home=home,
        sold_in=sold_in,
        titled=titled,
        brand=_brand(layout, index, places),
        has_brand=uniform(seed, "no brand", index) >= NO_BRAND,
        shape=shape,
        pattern=pattern,
        colour=_colour(layout, places),
        price=_price(layout, index, places, home),
        has_image=uniform(seed, "no image", index) >= NO_IMAGE,
        cold=is_cold(layout, index),
    )


def is_cold(layout: Layout, index: Ints) -> Flags:
    """Say which products are never bought or viewed."""
    return uniform(layout.seed, "cold", index) < COLD


def by_model(layout: Layout, places: Places) -> Flags:
    """Say whose compatibility shows by the model's name rather than by the style."""
    modes = np.array([world.mode == "model" for world in layout.worlds])
    return np.asarray(modes[layout.world[places.type]])


def _markets(layout: Layout, index: Ints, places: Places) -> tuple[Ints, Flags]:
    # An ecosystem has one home, so that what is bought together is sold in one marketplace. Golden-ratio
    # steps spread the homes evenly even over a handful of ecosystems.
    world = layout.world[places.type]
    share = (uniform(layout.seed, "home", world) + _GOLDEN_SHARE * places.ecosystem) % 1.0
    bounds = np.cumsum([market.share for market in vocabulary.MARKETPLACES])
    home = np.searchsorted(bounds[:-1], share, side="right")
    markets = np.arange(len(vocabulary.MARKETPLACES))
    abroad = uniform(layout.seed, "abroad", index[:, None], markets[None, :]) < SOLD_ABROAD
    return home, abroad | (home[:, None] == markets)


def _brand(layout: Layout, index: Ints, places: Places) -> Ints:
    """Give base products, and most products of a collection, their ecosystem's brand; others any."""
    world = layout.world[places.type]
    makers = integers(layout.seed, "maker", len(vocabulary.BRANDS), world, places.ecosystem)
    others = integers(layout.seed, "brand", len(vocabulary.BRANDS), index)
    in_collection = ~by_model(layout, places) & (uniform(layout.seed, "own brand", index) < 0.7)
    return np.where(layout.is_base[places.type] | in_collection, makers, others)


def _style(layout: Layout, places: Places) -> tuple[Ints, Ints]:
    """Give an ecosystem one style where style makes things fit; else each style on a shelf its own."""
    number = len(vocabulary.SHAPES) * len(vocabulary.PATTERNS)
    shelf = places.ecosystem * layout.styles[places.type] + places.group
    model = by_model(layout, places)
    # A world's key is negative so that it is no type's.
    key = np.where(model, places.type, -1 - layout.world[places.type])
    offset = integers(layout.seed, "style", number, key)
    style = (offset + _STYLE_STEP * np.where(model, shelf, places.ecosystem)) % number
    return style % len(vocabulary.SHAPES), style // len(vocabulary.SHAPES)


def _colour(layout: Layout, places: Places) -> Ints:
    """Give equal positions of one ecosystem equal colours, whatever the type."""
    number = len(vocabulary.COLOURS)
    first = bits(layout.seed, "colour", layout.world[places.type], places.ecosystem) % np.uint64(number)
    return (first.astype(np.int64) + _COLOUR_STEP * places.position) % number


def _price(layout: Layout, index: Ints, places: Places, home: Ints) -> Doubles:
    typical = np.array([kind.price for kind in layout.types])[places.type]
    tier = 0.25 * normal(layout.seed, "tier", layout.world[places.type], places.ecosystem)
    own = 0.08 * normal(layout.seed, "price", index)
    rate = np.array([market.rate for market in vocabulary.MARKETPLACES])[home]
    price = np.maximum(np.round(typical * np.exp(tier + own) * rate), 1.0) - 0.01
    priced = uniform(layout.seed, "no price", index) >= NO_PRICE
    return np.where(priced, np.round(price, 2), np.nan)
