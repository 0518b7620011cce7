"""Titles in the languages in which a product is sold, composed a column at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twinvec.catalogue.synthetic import vocabulary
from twinvec.catalogue.synthetic.layout import Layout, Places
from twinvec.catalogue.synthetic.products import Products, by_model
from twinvec.draws import Ints, integers


def titles(layout: Layout, products: Products) -> pa.Array:
    """Compose the titles of n products.

    Such as `Acme Striped Phone Case for Nova X2, Blue`, `Funda para teléfono a rayas Acme para Nova X2,
    azul`, `Capa de celular de listras Acme para Nova X2, azul`.

    Returns:
        A map array of length n, language → title; an empty map where no title is known.
    """
    row, market = np.nonzero(products.titled)
    columns = []
    for number, marketplace in enumerate(vocabulary.MARKETPLACES):
        columns.append(
            _compose(layout, products, np.flatnonzero(products.titled[:, number]), marketplace.language)
        )
    # The languages' columns stand one after the other; their cells are wanted row by row.
    rows = np.concatenate([np.flatnonzero(products.titled[:, number]) for number in range(len(columns))])
    order = np.argsort(rows, kind="stable")
    keys = _words([marketplace.language for marketplace in vocabulary.MARKETPLACES], market)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(products.index)))])
    items = pa.concat_arrays(columns).take(pa.array(order))
    return pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), keys, items)


def models(layout: Layout, places: Places) -> pa.Array:
    """Name the ecosystems, such as `Nova X2`: unique within a world."""
    words, codes = len(vocabulary.MODEL_WORDS), len(vocabulary.MODEL_CODES)
    world = layout.world[places.type]
    word = (places.ecosystem * 29 + integers(layout.seed, "model", words, world)) % words
    code = (places.ecosystem // words + 7 * word) % codes
    return _join(_words(vocabulary.MODEL_WORDS, word), " ", _words(vocabulary.MODEL_CODES, code))


def _compose(layout: Layout, products: Products, rows: Ints, language: str) -> pa.Array:
    def pick(values: Ints, words: Sequence[str]) -> pa.Array:
        return _words(words, values[rows])

    places = Places(**{name: values[rows] for name, values in vars(products.places).items()})
    kind = _words([getattr(each, language) for each in layout.types], places.type)
    brand = pick(products.brand, vocabulary.BRANDS)
    pattern = pick(products.pattern, [getattr(word, language) for word in vocabulary.PATTERNS])
    shape = pick(products.shape, [getattr(word, language) for word in vocabulary.SHAPES])
    colour = pick(products.colour, [getattr(word, language) for word in vocabulary.COLOURS])
    model = models(layout, places)
    fits_by_model = by_model(layout, places)
    is_device = pa.array(fits_by_model & layout.is_base[places.type])
    phrase = _ENDINGS[language]
    ending = pc.if_else(pa.array(fits_by_model), _join(phrase[0], model), _join(phrase[1], shape, phrase[2]))
    return _SENTENCES[language](kind, brand, pattern, model, ending, colour, is_device)


# What an accessory's title says of the model it is for, and a collection's of its shape: before and after.
_ENDINGS = {
    "en": (" for ", " with ", " Motif"),
    "es": (" para ", " con motivo de ", ""),
    "pt": (" para ", " com motivo de ", ""),
}


def _english(
    kind: pa.Array,
    brand: pa.Array,
    pattern: pa.Array,
    model: pa.Array,
    ending: pa.Array,
    colour: pa.Array,
    is_device: pa.Array,
) -> pa.Array:
    return _join(
        brand,
        " ",
        pc.if_else(is_device, model, pattern),
        " ",
        kind,
        pc.if_else(is_device, "", ending),
        ", ",
        colour,
    )


def _romance(
    kind: pa.Array,
    brand: pa.Array,
    pattern: pa.Array,
    model: pa.Array,
    ending: pa.Array,
    colour: pa.Array,
    is_device: pa.Array,
) -> pa.Array:
    middle = pc.if_else(is_device, "", _join(" ", pattern))
    return _join(kind, middle, " ", brand, pc.if_else(is_device, _join(" ", model), ending), ", ", colour)


_SENTENCES: dict[str, Callable[..., pa.Array]] = {"en": _english, "es": _romance, "pt": _romance}


def _words(vocabulary_of: Sequence[str], index: Ints) -> pa.Array:
    return pa.array(vocabulary_of).take(pa.array(index))


def _join(*parts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")
