"""The ground truth as tables: the associations that baskets, sessions and images were drawn from."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from twinvec.catalogue.synthetic import vocabulary
from twinvec.catalogue.synthetic.behaviour import choice_probability
from twinvec.catalogue.synthetic.images import Poses
from twinvec.catalogue.synthetic.layout import (
    Layout,
    index_of,
    places_of,
    product_ids,
    style_size,
)
from twinvec.catalogue.synthetic.products import Products
from twinvec.draws import Ints

_PATH = pa.list_(pa.string())
# One row a pair of leaf categories. `complement`: source's buyers add target at this rate; `companion`: two
# accessories of one base, strength is the chance that a buyer of that base adds both; `none`: only noise.
CATEGORIES = pa.schema(
    [("source", _PATH), ("target", _PATH), ("strength", pa.float64()), ("kind", pa.string())]
)
# One row a base product and accessory: the chance that a basket started with source holds target.
COMPLEMENTS = pa.schema([("source", pa.string()), ("target", pa.string()), ("strength", pa.float64())])
# One row an unordered pair of products of one type, ecosystem and style.
SUBSTITUTES = pa.schema([("source", pa.string()), ("target", pa.string())])
PRODUCTS = pa.schema(
    [
        ("product_id", pa.string()),
        ("type", pa.string()),
        ("ecosystem", pa.string()),
        # Products of one group are substitutes.
        ("group", pa.int64()),
        # shape and pattern as one number.
        ("style", pa.int64()),
        ("shape", pa.string()),
        ("pattern", pa.string()),
        ("colour", pa.string()),
        # The pose: degrees, and shares of the image's width from its centre and of its half width.
        ("angle", pa.float64()),
        ("x", pa.float64()),
        ("y", pa.float64()),
        ("scale", pa.float64()),
        ("sold_in", pa.list_(pa.string())),
        ("cold", pa.bool_()),
    ]
)


def categories(layout: Layout) -> pa.Table:
    """List every pair of leaf categories with its true association."""
    direct = np.zeros((len(layout.types), len(layout.types)))
    rows = np.arange(len(layout.types))[:, None]
    direct[rows, layout.accessory] = np.maximum(direct[rows, layout.accessory], layout.strength)
    together = np.max(direct[:, :, None] * direct[:, None, :], axis=0)
    linked = (direct + direct.T) > 0
    source, target = np.nonzero((direct > 0) | (np.triu(~linked, k=1)))
    strength = np.where(direct > 0, direct, together)[source, target]
    kind = np.where(direct[source, target] > 0, "complement", np.where(strength > 0, "companion", "none"))
    paths = pa.array([each.path for each in layout.types], _PATH)
    columns = [paths.take(pa.array(source)), paths.take(pa.array(target)), pa.array(strength), pa.array(kind)]
    return pa.Table.from_arrays(columns, schema=CATEGORIES)


def complements(layout: Layout, index: Ints) -> pa.Table:
    """List the true accessories of these products, (n,) indices, and how often each is added."""
    longest = int(np.max(layout.count // layout.ecosystems)) + 1
    base = places_of(layout, index[:, None, None])
    link, rank = np.arange(layout.links)[None, :, None], np.arange(longest)[None, None, :]
    kind = layout.accessory[base.type, link]
    strength = layout.strength[base.type, link] * choice_probability(layout, base, kind, rank)
    row, link_row, rank_row = np.nonzero(strength)
    kind = kind[row, link_row, 0]
    ecosystem = base.ecosystem[row, 0, 0] % layout.ecosystems[kind]
    target = index_of(layout, kind, ecosystem, rank_row)
    return pa.Table.from_arrays(
        [id_array(layout, index[row]), id_array(layout, target), pa.array(strength[strength > 0])],
        schema=COMPLEMENTS,
    )


def substitutes(layout: Layout, index: Ints) -> pa.Table:
    """List the substitutes of these products, (n,) indices, that stand after them."""
    places = places_of(layout, index)
    size = style_size(layout, places)
    step = np.arange(1, int(size.max(initial=1)))
    row, number = np.nonzero(places.position[:, None] + step[None, :] < size[:, None])
    kind = places.type[row]
    rank = places.rank[row] + layout.styles[kind] * step[number]
    target = index_of(layout, kind, places.ecosystem[row], rank)
    return pa.Table.from_arrays([id_array(layout, index[row]), id_array(layout, target)], schema=SUBSTITUTES)


def products(layout: Layout, batch: Products, poses: Poses) -> pa.Table:
    """List what the columns of the products table do not tell."""
    places, kinds = batch.places, np.array([each.path[-1] for each in layout.types])
    ecosystems = np.char.add(
        np.char.add(layout.world[places.type].astype("U4"), "-"), places.ecosystem.astype("U9")
    )
    row, market = np.nonzero(batch.sold_in)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(batch.index)))])
    names = np.array([each.name for each in vocabulary.MARKETPLACES])
    columns = [
        id_array(layout, batch.index),
        pa.array(kinds[places.type]),
        pa.array(ecosystems),
        # The first product of the group stands for it.
        pa.array(index_of(layout, places.type, places.ecosystem, places.group)),
        pa.array(batch.pattern * len(vocabulary.SHAPES) + batch.shape),
        pa.array(np.array([word.en for word in vocabulary.SHAPES])[batch.shape]),
        pa.array(np.array([word.en for word in vocabulary.PATTERNS])[batch.pattern]),
        pa.array(np.array([word.en for word in vocabulary.COLOURS])[batch.colour]),
        *(pa.array(values) for values in (poses.angle, poses.x, poses.y, poses.scale)),
        pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(names[market])),
        pa.array(batch.cold),
    ]
    return pa.Table.from_arrays(columns, schema=PRODUCTS)


def id_array(layout: Layout, index: Ints) -> pa.Array:
    """Name products, as an Arrow string array without a Python string each."""
    return string_array(product_ids(layout, index))


def string_array(fixed: NDArray[np.bytes_]) -> pa.Array:
    """Wrap ASCII strings of one length, dtype `S…`, as an Arrow string array."""
    offsets = np.arange(len(fixed) + 1, dtype=np.int32) * fixed.dtype.itemsize
    return pa.StringArray.from_buffers(
        len(fixed), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(fixed))
    )
