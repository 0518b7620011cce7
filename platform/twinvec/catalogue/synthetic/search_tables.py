"""Texts of the synthetic queries, and the tables of queries, judgements and purchases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from twinvec import columns
from twinvec.catalogue.judgements import LABELS
from twinvec.catalogue.synthetic import vocabulary
from twinvec.catalogue.synthetic.batches import batches, numbered
from twinvec.catalogue.synthetic.layout import Layout, index_of, places_of
from twinvec.catalogue.synthetic.products import by_model, products_at
from twinvec.catalogue.synthetic.searches import (
    REGIONS,
    Queries,
    judgements,
    language_of,
    purchases,
    queries_at,
    query_count,
)
from twinvec.catalogue.synthetic.titles import models
from twinvec.catalogue.synthetic.truth import id_array, string_array
from twinvec.draws import Ints, bits

# What the queries were drawn from.
TRUTH = pa.schema(
    [
        ("query_id", pa.string()),
        ("type", pa.string()),
        ("ecosystem", pa.string()),
        ("named", pa.bool_()),
        ("known", pa.bool_()),
    ]
)
# Words of four of these are unique up to 100 million queries.
_SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnprstvwxyz" for vowel in "aeiou"]


def write_searches(folder: Path, layout: Layout, progress: Callable[[str], None]) -> dict[str, int]:
    """Write queries, judgements, purchases and what they were drawn from; return the rows of each table."""
    counts = dict.fromkeys(("queries", "judgements", "query_purchases"), 0)
    with (
        pq.ParquetWriter(folder / "queries.parquet", columns.QUERIES) as queries_file,
        pq.ParquetWriter(folder / "judgements.parquet", columns.JUDGEMENTS) as judgements_file,
        pq.ParquetWriter(folder / "query_purchases.parquet", columns.QUERY_PURCHASES) as purchases_file,
        pq.ParquetWriter(folder / "truth" / "queries.parquet", TRUTH) as truth_file,
    ):
        for number in batches(query_count(layout)):
            batch = queries_at(layout, number)
            ids = string_array(numbered("Q", number))
            locale = pa.array([region.name for region in REGIONS]).take(pa.array(batch.region))
            tables = {
                "queries": pa.Table.from_arrays(
                    [ids, texts(layout, batch), locale, pa.nulls(len(number), pa.string())],
                    schema=columns.QUERIES,
                ),
                "judgements": _judgements(layout, batch, ids, locale),
                "query_purchases": _purchases(layout, batch, ids),
            }
            for (name, table), file in zip(
                tables.items(), (queries_file, judgements_file, purchases_file), strict=True
            ):
                file.write_table(table)
                counts[name] += len(table)
            truth_file.write_table(_truth(layout, batch, ids))
            progress(f"queries: {number[-1] + 1:,} of {query_count(layout):,}")
    return counts


def texts(layout: Layout, queries: Queries) -> pa.Array:
    """Compose the texts of q queries, such as `phone case for nova x2` and `funda para teléfono kazumole`.

    Returns:
        Strings [q], in the languages of the queries' regions.
    """
    texts_of = pa.nulls(len(queries.number), pa.string())
    for region in range(len(REGIONS)):
        mask = queries.region == region
        composed = _compose(layout, queries, np.flatnonzero(mask), language_of(region))
        texts_of = pc.replace_with_mask(texts_of, pa.array(mask), composed)
    return texts_of


def _compose(layout: Layout, queries: Queries, rows: Ints, language: str) -> pa.Array:
    kind, ecosystem = queries.kind[rows], queries.ecosystem[rows]
    index = index_of(layout, kind, ecosystem, np.zeros_like(kind))
    places, look = places_of(layout, index), products_at(layout, index)
    types = [getattr(each, language) for each in layout.types]
    shapes, patterns = (
        [getattr(word, language) for word in words] for words in (vocabulary.SHAPES, vocabulary.PATTERNS)
    )
    phrase = {"en": " for ", "es": " para ", "pt": " para "}[language]
    model = pc.binary_join_element_wise(phrase, models(layout, places), "")
    style = pc.binary_join_element_wise("", _words(patterns, look.pattern), _words(shapes, look.shape), " ")
    named = pc.if_else(pa.array(by_model(layout, places)), model, style)
    unnamed = pc.binary_join_element_wise("", _unknown_words(layout, queries.number[rows]), " ")
    ending = pc.if_else(pa.array(queries.named[rows]), named, unnamed)
    return pc.utf8_lower(pc.binary_join_element_wise(_words(types, kind), ending, ""))


def _unknown_words(layout: Layout, number: Ints) -> pa.Array:
    """Return a word for each query that no title has and no other query."""
    base = len(_SYLLABLES)
    start = bits(layout.seed, "unknown word", np.zeros(1, np.int64)) % np.uint64(base**4)
    # The step has no factor in common with base⁴ = 10⁸.
    code = (number.astype(np.uint64) * np.uint64(61_803_399) + start) % np.uint64(base**4)
    digits = [(code // np.uint64(base**place) % np.uint64(base)).astype(np.int64) for place in range(4)]
    return pc.binary_join_element_wise(*(_words(_SYLLABLES, digit) for digit in digits), "")


def _judgements(layout: Layout, batch: Queries, ids: pa.Array, locale: pa.Array) -> pa.Table:
    position, product, label = judgements(layout, batch)
    row = pa.array(position)
    labels = pa.array(list(LABELS)).take(pa.array(label))
    return pa.Table.from_arrays(
        [ids.take(row), id_array(layout, product), locale.take(row), labels], schema=columns.JUDGEMENTS
    )


def _purchases(layout: Layout, batch: Queries, ids: pa.Array) -> pa.Table:
    position, product, count = purchases(layout, batch)
    return pa.Table.from_arrays(
        [ids.take(pa.array(position)), id_array(layout, product), pa.array(count)],
        schema=columns.QUERY_PURCHASES,
    )


def _truth(layout: Layout, batch: Queries, ids: pa.Array) -> pa.Table:
    world = layout.world[batch.kind].astype("U4")
    ecosystem = np.char.add(np.char.add(world, "-"), batch.ecosystem.astype("U9"))
    kinds = pa.array([each.path[-1] for each in layout.types]).take(pa.array(batch.kind))
    return pa.Table.from_arrays(
        [ids, kinds, pa.array(ecosystem), pa.array(batch.named), pa.array(batch.known)], schema=TRUTH
    )


def _words(words: list[str] | tuple[str, ...], index: Ints) -> pa.Array:
    return pa.array(words).take(pa.array(index))
