"""Listings of a synthetic store's products in four marketplaces of very different traffic, and a small store's own.

The products of one style on one shelf are a family: they differ in colour and size. A product is listed where it is
sold, in the languages of that store, in the store's own words and with attributes missing. The store `mx` is small: it
sells some of the ecosystems, with a twentieth of the traffic and few pictures. Some of it is crosslisted, under
the product's id; the rest has ids of its own, so that nothing but the listing tells that the product is the same.
Streams are this module's own: the tables of the other stores are the same with and without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from twinvec import columns
from twinvec.catalogue.synthetic import vocabulary
from twinvec.catalogue.synthetic.behaviour import PER_PRODUCT, Lines, baskets, sessions
from twinvec.catalogue.synthetic.layout import Layout, Places, index_of, places_of, product_ids
from twinvec.catalogue.synthetic.products import Flags, Products, by_model, products_at
from twinvec.catalogue.synthetic.titles import models
from twinvec.draws import Ints, integers, uniform

SMALL = "mx"
SMALL_CURRENCY, SMALL_RATE = "MXN", 18.0
TRAFFIC = 0.05
"""Visits of the small store, relative to those of all others."""
IN_SMALL, KEPT_IN_SMALL = 0.4, 0.8
"""Share of the ecosystems that the small store sells, and of their products."""
CROSSLISTED = 0.3
"""Share of the small store's products that have the id they have elsewhere."""
SECOND_LANGUAGE = 0.3
"""Chance of a listing in a store's second language."""
NO_PATTERN, NO_COLOUR = 0.2, 0.3
"""Chances that a title leaves them out."""
NO_COLOUR_ATTRIBUTE, NO_SIZE, NO_DESCRIPTION, NO_LISTED_BRAND = 0.3, 0.3, 0.5, 0.15
NO_LISTED_IMAGE, NO_IMAGE_IN_SMALL = 0.1, 0.6
SIZES = ("S", "M", "L")
_MARKETS = len(vocabulary.MARKETPLACES)
# What is drawn with another seed is the small store's visits alone; the arithmetic of a layout does not depend on it.
_OTHER_SEED = 7_919
TRUTH = pa.schema(
    [
        ("item_id", pa.string()),
        # The product that it is, and its family, whatever ids the store gives them.
        ("product_id", pa.string()),
        ("family_id", pa.string()),
        ("marketplace", pa.string()),
        ("crosslisted", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Channel:
    """A language of a store.

    Attributes:
        store: Marketplace.
        language: Language of the listings.
        market: Position of the marketplace among the large ones; the number of these for the small one.
        second: Whether it is the store's second language.
        title: Titles in the store's words, with the names of `_parts` in braces.
    """

    store: str
    language: str
    market: int
    second: bool
    title: str


CHANNELS: Sequence[Channel] = (
    Channel("us", "en", 0, False, "{brand} {pattern} {kind}{ending}, {colour}"),
    Channel("us", "es", 0, True, "{kind} {pattern} {brand}{ending} color {colour}"),
    Channel("es", "es", 1, False, "{brand} | {kind} {pattern}{ending} - {colour}"),
    Channel("br", "pt", 2, False, "{kind} {brand} {pattern}{ending} - {colour}"),
    Channel("br", "en", 2, True, "{kind}{ending} by {brand} {pattern} {colour}"),
    Channel(SMALL, "es", 3, False, "Nuevo {kind}{ending} marca {brand} {pattern} tono {colour}"),
    Channel(SMALL, "en", 3, True, "{kind} {pattern}{ending} from {brand} in {colour}"),
)
_OWN = CHANNELS[5]
_FIT = {"en": " for ", "es": " para ", "pt": " para "}
_MOTIF = {"en": " with {} motif", "es": " con motivo de {}", "pt": " com motivo de {}"}
_SOLD_BY = {
    "en": "Sold and shipped by {}.",
    "es": "Vendido y enviado por {}.",
    "pt": "Vendido e entregue por {}.",
}


def in_small(layout: Layout, index: Ints) -> Flags:
    """Say which products the small store sells: (n,)."""
    places = places_of(layout, index)
    shelf = uniform(layout.seed, "small ecosystem", layout.world[places.type], places.ecosystem) < IN_SMALL
    return np.asarray(shelf & (uniform(layout.seed, "small product", index) < KEPT_IN_SMALL))


def is_crosslisted(layout: Layout, index: Ints) -> Flags:
    """Say which products of the small store have the id they have elsewhere: (n,)."""
    return uniform(layout.seed, "crosslisted", index) < CROSSLISTED


def small_ids(layout: Layout, index: Ints) -> NDArray[np.bytes_]:
    """Return the ids of products in the small store: as elsewhere, or of its own, `M…`; dtype `S9`."""
    ids = product_ids(layout, index)
    own = np.char.add(
        b"M", np.ascontiguousarray(ids).view("S1").reshape(len(ids), -1)[:, 1:].copy().view("S8")[:, 0]
    )
    return np.where(is_crosslisted(layout, index), ids, own)


def small_products(layout: Layout, index: Ints) -> pa.Table:
    """Return the rows of the products table for the small store's own products among these, (n,) indices."""
    chosen = index[in_small(layout, index) & ~is_crosslisted(layout, index)]
    table = _listings(layout, chosen, _OWN, family=False)
    titles = pa.MapArray.from_arrays(
        pa.array(np.arange(len(chosen) + 1), pa.int32()),
        pa.repeat("es", len(chosen)),
        table["title"].combine_chunks(),
    )
    found = {name: table[name] for name in columns.PRODUCTS.names if name in table.column_names}
    return pa.table({**found, "title": titles}).select(columns.PRODUCTS.names).cast(columns.PRODUCTS)


def listings(layout: Layout, index: Ints, images: pa.Array) -> tuple[pa.Table, pa.Table]:
    """Draw all listings of these products.

    Args:
        layout: Layout of the store.
        index: Products, (n,).
        images: Image of each, null where it has none, strings (n,).

    Returns:
        Rows of `listings`, and of the truth as `TRUTH`.
    """
    products = products_at(layout, index)
    rows, truths = [], []
    for number, channel in enumerate(CHANNELS):
        small = channel.store == SMALL
        sold = in_small(layout, index) if small else products.sold_in[:, channel.market]
        if channel.second:
            sold = sold & (uniform(layout.seed, f"second {number}", index) < SECOND_LANGUAGE)
        chosen = np.flatnonzero(sold)
        table = _listings(layout, index[chosen], channel)
        lost = uniform(layout.seed, f"listed image {number}", index[chosen]) < (
            NO_IMAGE_IN_SMALL if small else NO_LISTED_IMAGE
        )
        image = pc.if_else(pa.array(lost), None, images.take(pa.array(chosen)))
        rows.append(table.set_column(table.column_names.index("image"), "image", image))
        true = pa.array(product_ids(layout, index[chosen]).astype("U"))
        family = pa.array(product_ids(layout, _head(layout, index[chosen])).astype("U"))
        store = pa.repeat(channel.store, len(chosen))
        crosslisted = pa.array(is_crosslisted(layout, index[chosen]) if small else np.ones(len(chosen), bool))
        truths.append(
            pa.Table.from_arrays([table["item_id"], true, family, store, crosslisted], schema=TRUTH)
        )
    return pa.concat_tables(rows), pa.concat_tables(truths)


def visits(layout: Layout, number: Ints, orders: bool) -> Lines:
    """Draw visits of the small store: (v,) numbers, 0 to `visit_count` − 1; baskets, or else viewing sessions."""
    draw = baskets if orders else sessions
    # Its customers come at times spread over the year, as all do.
    lines = draw(
        replace(layout, seed=layout.seed + _OTHER_SEED),
        number * (PER_PRODUCT * layout.size // visit_count(layout)),
    )
    kept = in_small(layout, lines.product)
    return Lines(lines.owner[kept], lines.product[kept], lines.time[kept])


def visit_count(layout: Layout) -> int:
    """Return the number of visits of the small store that are drawn; those of what it does not sell come to nothing."""
    return max(1, int(TRAFFIC * PER_PRODUCT * layout.size))


def _head(layout: Layout, index: Ints) -> Ints:
    """Return the first product of each product's family."""
    places = places_of(layout, index)
    return index_of(layout, places.type, places.ecosystem, places.group)


def _listings(layout: Layout, index: Ints, channel: Channel, family: bool = True) -> pa.Table:
    """Return the listings of some products in one language of a store, all with the image null."""
    number, n = CHANNELS.index(channel), len(index)
    products = products_at(layout, index)
    small = channel.store == SMALL
    ids = pa.array((small_ids if small else product_ids)(layout, index).astype("U"))
    heads = product_ids(layout, _head(layout, index)).astype("U")
    # The small store has not the others' families, and a crosslisted product is of the one it has elsewhere.
    own = small & ~is_crosslisted(layout, index)
    families = pa.array(np.where(own, np.char.add("F", np.char.add("M", heads)), np.char.add("F", heads)))

    def missing(stream: str, share: float) -> Flags:
        return uniform(layout.seed, f"{stream} {number}", index) < share

    parts = _parts(layout, products, channel.language)
    shown = dict(parts)
    shown["pattern"] = pc.if_else(pa.array(missing("title pattern", NO_PATTERN)), "", parts["pattern"])
    shown["colour"] = pc.if_else(pa.array(missing("title colour", NO_COLOUR)), "", parts["colour"])
    price = _price(layout, products, channel, index)
    size = integers(layout.seed, "size", len(SIZES), _head(layout, index)) + products.places.position
    details = pc.binary_join_element_wise(parts["kind"], " ", parts["brand"], ". ", "")
    sold_by = _SOLD_BY[channel.language].format(channel.store.upper())
    description = pc.binary_join_element_wise(details, pa.scalar(sold_by), "")
    keys = pa.repeat({"en": "pattern", "es": "estampado", "pt": "estampa"}[channel.language], n)
    attributes = pa.MapArray.from_arrays(pa.array(np.arange(n + 1), pa.int32()), keys, parts["pattern"])
    paths = pa.array([kind.path for kind in layout.types], pa.list_(pa.string()))
    currency = SMALL_CURRENCY if small else vocabulary.MARKETPLACES[channel.market].currency

    def or_null(values: pa.Array, stream: str, share: float) -> pa.Array:
        return pc.if_else(pa.array(missing(stream, share)), None, values)

    return pa.Table.from_arrays(
        [
            pc.binary_join_element_wise(ids, "@", channel.store, ":", channel.language, ""),
            ids,
            families if family else ids,
            pa.repeat(channel.store, n),
            pa.repeat(channel.language, n),
            _titles(channel.title, shown),
            or_null(description, "description", NO_DESCRIPTION),
            or_null(parts["brand"], "listed brand", NO_LISTED_BRAND),
            or_null(parts["colour"], "colour attribute", NO_COLOUR_ATTRIBUTE),
            or_null(pa.array(SIZES).take(pa.array(size % len(SIZES))), "size attribute", NO_SIZE),
            attributes,
            pa.array(price, mask=np.isnan(price)),
            pa.repeat(currency, n),
            paths.take(pa.array(products.places.type)),
            pa.nulls(n, pa.string()),
        ],
        schema=columns.LISTINGS,
    )


def _titles(pattern: str, parts: Mapping[str, pa.Array]) -> pa.Array:
    pieces = [
        parts[piece[1:-1]] if piece.startswith("{") else piece for piece in re.split(r"(\{\w+\})", pattern)
    ]
    joined = pc.replace_substring_regex(pc.binary_join_element_wise(*pieces, ""), " +", " ")
    return pc.utf8_rtrim(joined, " ,-")


def _parts(layout: Layout, products: Products, language: str) -> dict[str, pa.Array]:
    """Return the words of titles; the brand is that of the family."""
    places: Places = products.places
    head = products_at(layout, _head(layout, products.index))

    def pick(words: Sequence[vocabulary.Word], values: Ints) -> pa.Array:
        return pa.array([getattr(word, language) for word in words]).take(pa.array(values))

    fits = by_model(layout, places)
    before, after = _MOTIF[language].split("{}")
    model = pc.binary_join_element_wise(_FIT[language], models(layout, places), "")
    shape = pc.binary_join_element_wise(before, pick(vocabulary.SHAPES, products.shape), after, "")
    return {
        "kind": pa.array([getattr(each, language) for each in layout.types]).take(pa.array(places.type)),
        "brand": pa.array(vocabulary.BRANDS).take(pa.array(head.brand)),
        "pattern": pick(vocabulary.PATTERNS, products.pattern),
        "colour": pick(vocabulary.COLOURS, products.colour),
        "ending": pc.if_else(pa.array(fits), model, shape),
    }


def _price(layout: Layout, products: Products, channel: Channel, index: Ints) -> NDArray[np.float64]:
    rates = np.array([*(market.rate for market in vocabulary.MARKETPLACES), SMALL_RATE])
    store = 0.95 + 0.1 * uniform(layout.seed, f"store price {channel.store}", index)
    prices: NDArray[np.float64] = np.round(
        products.price / rates[products.home] * rates[channel.market] * store, 2
    )
    return prices
