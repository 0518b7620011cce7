"""Baskets and viewing sessions, drawn by the true associations, popularity and noise.

A basket starts with a base product and adds accessories of its ecosystem; a session starts with any product
and goes on to its substitutes. In both a share of the lines is random. A basket is a function of its
number, as a product is of its index, so baskets can be drawn in batches of any size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twinvec.catalogue.synthetic.layout import Layout, Places, index_of, places_of, shelf_size, style_size
from twinvec.catalogue.synthetic.products import Flags, is_cold
from twinvec.draws import Doubles, Ints, integers, uniform, zipf, zipf_probability

PER_PRODUCT = 2
"""Baskets, and sessions, a product."""
MATCHED = 0.7
"""Chance that an accessory is taken in the colour of its base."""
ECOSYSTEM_EXPONENT = 0.6
RANK_EXPONENT = 0.4
"""Popularity falls with an ecosystem's number and a product's rank as these powers."""
CHAIN_SHARE = 0.25
"""Frequency of baskets that start with an accessory that has accessories, relative to a world's base."""
NOISE_SLOTS = 2
BASKET_NOISE = 0.27
SESSION_NOISE = 0.28
"""Chance that a noise slot is filled; about 15% of all lines."""
SUBSTITUTES = 4
SUBSTITUTE_SHARE = 0.6
"""Substitutes that a session may look at, at most, and the chance for each."""
COMPLEMENT_SHARE = 0.15
"""Chance that a session looks at an accessory, too."""
YEAR = 365 * 24 * 3600 * 1_000_000
START = 1_735_689_600_000_000
"""The behaviour logs run for a year from here: microseconds from the epoch to 1 January 2025."""


@dataclass(frozen=True)
class Lines:
    """Lines of orders, or views of sessions, in the order in which they happened; arrays are (n,)."""

    owner: Ints
    """Number of the basket or session."""
    product: Ints
    """Product's index."""
    time: Ints
    """Microseconds from the epoch."""


def baskets(layout: Layout, number: Ints) -> Lines:
    """Draw the lines of these baskets: (b,) numbers of baskets, 0 to `PER_PRODUCT · size` − 1."""
    seed = layout.seed
    base = _popular(layout, "basket base", number, _basket_weights(layout))
    places = places_of(layout, base)
    chosen, kept = [base], [np.ones(len(number), dtype=bool)]
    for link in range(layout.links):
        chosen.append(accessory(layout, "basket accessory", number, places, np.full(len(number), link)))
        kept.append(uniform(seed, f"basket link {link}", number) < layout.strength[places.type, link])
    _add_noise(layout, "basket noise", number, BASKET_NOISE, chosen, kept)
    return _lines(layout, "basket", number, chosen, kept, seconds=240)


def sessions(layout: Layout, number: Ints) -> Lines:
    """Draw the views of these sessions: (s,) numbers of sessions, 0 to `PER_PRODUCT · size` − 1."""
    seed = layout.seed
    seen = _popular(layout, "session", number, layout.count.astype(np.float64))
    places = places_of(layout, seen)
    available = style_size(layout, places)
    chosen, kept = [seen], [np.ones(len(number), dtype=bool)]
    for step in range(1, SUBSTITUTES + 1):
        rank = ((places.position + step) % available) * layout.styles[places.type] + places.group
        chosen.append(index_of(layout, places.type, places.ecosystem, rank))
        drawn = uniform(seed, f"session substitute {step}", number) < SUBSTITUTE_SHARE
        kept.append(drawn & (step < available))
    link = integers(seed, "session link", layout.links, number)
    chosen.append(accessory(layout, "session accessory", number, places, link))
    drawn = uniform(seed, "session complement", number) < COMPLEMENT_SHARE
    kept.append(drawn & (layout.strength[places.type, link] > 0))
    _add_noise(layout, "session noise", number, SESSION_NOISE, chosen, kept)
    return _lines(layout, "session", number, chosen, kept, seconds=60)


def accessory(layout: Layout, stream: str, key: Ints, base: Places, link: Ints) -> Ints:
    """Choose an accessory for each base: of its ecosystem, and as a rule in its colour.

    Args:
        layout: Layout of the store.
        stream: Name of the draw; different names are independent.
        key: Number of the basket or session: (b,).
        base: Places of the products that accessories are chosen for: (b,).
        link: Which of the base type's links, 0 to L − 1: (b,); the result means nothing where it has none.
    """
    kind = layout.accessory[base.type, link]
    ecosystem = base.ecosystem % layout.ecosystems[kind]
    shelf, styles = shelf_size(layout, kind, ecosystem), layout.styles[kind]
    group = zipf(uniform(layout.seed, f"{stream} style", key, link), styles, RANK_EXPONENT)
    matched = _matching_position(base, shelf, styles) * styles + group
    free = zipf(uniform(layout.seed, f"{stream} rank", key, link), shelf, RANK_EXPONENT)
    does_match = uniform(layout.seed, f"{stream} match", key, link) < MATCHED
    return index_of(layout, kind, ecosystem, np.where(does_match, matched, free))


def choice_probability(layout: Layout, base: Places, kind: Ints, rank: Ints) -> Doubles:
    """Compute the probability with which `accessory` gives each rank of a type's shelf; 0 beyond its end.

    Args:
        layout: Layout of the store.
        base: Places of the products that accessories are chosen for.
        kind: The accessory's type.
        rank: Rank on that type's shelf of the base's ecosystem. All broadcast to one shape.
    """
    shelf = shelf_size(layout, kind, base.ecosystem % layout.ecosystems[kind])
    styles = layout.styles[kind]
    position, group = np.divmod(rank, styles)
    matches = position == _matching_position(base, shelf, styles)
    matched = np.where(matches, zipf_probability(group, styles, RANK_EXPONENT), 0.0)
    free = zipf_probability(np.minimum(rank, shelf - 1), shelf, RANK_EXPONENT)
    return np.where(rank < shelf, MATCHED * matched + (1.0 - MATCHED) * free, 0.0)


def _matching_position(base: Places, shelf: Ints, styles: Ints) -> Ints:
    # Equal positions have equal colours; the remainder is for shelves shorter than the base's.
    return np.asarray(base.position % (shelf // styles))


def _basket_weights(layout: Layout) -> Doubles:
    has_links = layout.strength.any(axis=1)
    return np.where(has_links, np.where(layout.is_base, 1.0, CHAIN_SHARE), 0.0) * layout.count


def _popular(layout: Layout, stream: str, key: Ints, weights: Doubles) -> Ints:
    """Draw a product for each key: its type by weight, its ecosystem and rank by popularity."""
    bounds = np.cumsum(weights) / weights.sum()
    kind = np.searchsorted(bounds[:-1], uniform(layout.seed, f"{stream} type", key), side="right")
    ecosystem_share = uniform(layout.seed, f"{stream} ecosystem", key)
    ecosystem = zipf(ecosystem_share, layout.ecosystems[kind], ECOSYSTEM_EXPONENT)
    rank_share = uniform(layout.seed, f"{stream} rank", key)
    rank = zipf(rank_share, shelf_size(layout, kind, ecosystem), RANK_EXPONENT)
    return index_of(layout, kind, ecosystem, rank)


def _add_noise(
    layout: Layout, stream: str, number: Ints, share: float, chosen: list[Ints], kept: list[Flags]
) -> None:
    for slot in range(NOISE_SLOTS):
        product = _popular(layout, f"{stream} {slot}", number, layout.count.astype(np.float64))
        is_new = np.all([product != other for other in chosen], axis=0)
        chosen.append(product)
        kept.append(is_new & (uniform(layout.seed, f"{stream} {slot}", number) < share))


def _lines(
    layout: Layout, stream: str, number: Ints, chosen: list[Ints], kept: list[Flags], seconds: int
) -> Lines:
    """Put slots into lines, without cold products; each line follows the one before within 2 · `seconds`."""
    products, slots = np.stack(chosen, axis=1), np.arange(len(chosen))
    total = PER_PRODUCT * layout.size
    first = (number + uniform(layout.seed, f"{stream} start", number)) * (YEAR / total)
    gaps = uniform(layout.seed, f"{stream} gap", number[:, None], slots[None, :]) * 2e6 * seconds
    gaps[:, 0] = 0.0
    times = START + (first[:, None] + np.cumsum(gaps, axis=1)).astype(np.int64)
    keep = np.stack(kept, axis=1) & ~is_cold(layout, products)
    owners = np.broadcast_to(number[:, None], products.shape)
    return Lines(owners[keep], products[keep], times[keep])
