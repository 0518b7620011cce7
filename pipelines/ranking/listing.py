"""Lists of related products: candidates of each source, in the order of the ranker's scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from pipelines.graph.product_graph import Edges
from pipelines.ranking.candidates import find_candidates
from pipelines.ranking.features import Known, Marks, compute, dots, score_rows
from pipelines.ranking.ranker import Examples, Ranker
from pipelines.ranking.sparse import FloatArray, IntArray, Pairs, rows_of, values_at
from twinvec.vectors.lists import NONE

if TYPE_CHECKING:
    from twinvec.settings import RankingSettings


@dataclass(frozen=True)
class Ranked:
    """Lists of some sources.

    Attributes:
        sources: The sources, int64 [r].
        targets: Products related to each, best first, −1 beyond the last, int32 [r, length].
        scores: Their scores, zero beyond the last, float32 [r, length].
        marks: Digest of each source's candidates and their features: the same ranker gives the same list for the same
            mark, uint64 [r].
    """

    sources: IntArray
    targets: npt.NDArray[np.int32]
    scores: FloatArray
    marks: Marks

    def first(self, length: int) -> Ranked:
        """Return the first places of each list."""
        return replace(self, targets=self.targets[:, :length], scores=self.scores[:, :length])

    def matrix(self, products: int) -> sp.csr_array:
        """Return 1 / rank of each listed product, float32 [n, n]: an order in which others come last together."""
        listed = self.targets != NONE
        row, place = np.nonzero(listed)
        ends = self.sources[row], self.targets[listed].astype(np.int64)
        return sp.csr_array(((1 / (1 + place)).astype(np.float32), ends), shape=(products, products))


def candidate_chunks(
    known: Known, sources: IntArray, options: RankingSettings, without: sp.csr_array | None = None
) -> Iterator[tuple[Pairs, dict[str, FloatArray]]]:
    """Yield the candidates of `chunk` sources at a time, and their features by name.

    Args:
        known: What is known of the products.
        sources: The sources, int64 [r].
        options: Settings of the stage.
        without: Pairs that are no candidates, nonzero in float32 [n, n].
    """
    for first in range(0, len(sources), options.chunk):
        some = sources[first : first + options.chunk]
        rows = score_rows(known, some)
        left_out = rows_of(without, some) if without is not None else None
        asked = None if known.products <= options.compared else known.strangers(some)
        pairs = find_candidates(rows, some, options.candidates, known.vectors, left_out, asked)
        yield pairs, compute(known, rows, pairs)


def make_lists(
    known: Known,
    ranker: Ranker | None,
    sources: IntArray,
    options: RankingSettings,
    length: int | None = None,
    without: sp.csr_array | None = None,
    taken: Ranked | None = None,
) -> Ranked:
    """Return the lists of some sources.

    Without a ranker, and for products in no co-purchase or co-view, they are in the order of the vectors.

    Args:
        known: What is known of the products.
        ranker: Ranker.
        sources: The sources, int64 [r].
        options: Settings of the stage. Its `chunk` is the number of sources at a time, on which the memory depends.
        length: Largest number of products in a list; that of the settings if not given.
        without: Pairs that are not listed, nonzero in float32 [n, n].
        taken: Lists of the same sources by the same ranker at another time; those whose marks are the same still are
            taken over.
    """
    shape = (len(sources), length or options.length)
    targets, scores = np.full(shape, NONE, np.int32), np.zeros(shape, np.float32)
    marks = np.zeros(len(sources), np.uint64)
    first = 0
    for pairs, values in candidate_chunks(known, sources, options, without):
        some = slice(first, first + len(pairs.sources))
        features = _evidence(known, ranker, pairs, values)
        marks[some] = mark_rows(pairs, features, known.identities)
        kept = np.zeros(len(pairs.sources), np.bool_)
        if taken is not None:
            kept = marks[some] == taken.marks[some]
            targets[some][kept] = taken.targets[some][kept]
            scores[some][kept] = taken.scores[some][kept]
        new = ~kept[pairs.row]
        pairs = replace(pairs, row=pairs.row[new], target=pairs.target[new])
        score = features[new, 0]
        if ranker is not None:
            by_ranker = ~known.strangers(pairs.sources)[pairs.row]
            score[by_ranker] = ranker.score(features[new][by_ranker, 1:], options.threads)
        row, place, order = best(pairs, score, shape[1])
        targets[first + row, place] = pairs.target[order]
        scores[first + row, place] = score[order]
        first += len(pairs.sources)
    return Ranked(sources, targets, scores, marks)


def _evidence(
    known: Known, ranker: Ranker | None, pairs: Pairs, values: Mapping[str, FloatArray]
) -> FloatArray:
    """Return all that a list depends on, float32 [pairs, 1 + features].

    The first column is the dot product of the vectors, where lists are in their order; zero elsewhere.
    """
    score = np.zeros(len(pairs), np.float32)
    some = np.ones(len(pairs), np.bool_) if ranker is None else known.strangers(pairs.sources)[pairs.row]
    if known.vectors is not None and some.any():
        chosen = replace(pairs, row=pairs.row[some], target=pairs.target[some])
        score[some] = dots(known.vectors.source, known.vectors.target, chosen)
    if ranker is None:
        return score[:, None]
    return np.concatenate([score[:, None], ranker.columns(values)], axis=1)


def mark_rows(pairs: Pairs, features: FloatArray, identities: Marks) -> Marks:
    """Return a digest of each source's candidates and their features, uint64 [r].

    It is the sum of a hash of each pair, modulo 2^64: the chance that two rows that differ share it is negligible.
    """
    frame = pd.DataFrame(features + np.float32(0))  # zero and minus zero are one value
    frame["target"] = identities[pairs.target]
    hashes = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    marks = np.zeros(len(pairs.sources), np.uint64)
    np.add.at(marks, pairs.row, hashes)
    return marks


def best(pairs: Pairs, scores: FloatArray, most: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return the row, the place and the position among the pairs of the best pairs of each source, int64 each.

    Of equal scores, the lower product number comes first.
    """
    order = np.lexsort((pairs.target, -scores, pairs.row))
    start = np.cumsum(pairs.counts) - pairs.counts
    place = np.arange(len(order)) - start[pairs.row[order]]
    kept = place < most
    return pairs.row[order][kept], place[kept], order[kept]


def make_examples(
    known: Known, hidden: Edges, observed: sp.csr_array, options: RankingSettings, seed: int
) -> Examples:
    """Return queries for edges that are hidden from all that is known.

    Args:
        known: What is known without the hidden edges.
        hidden: Hidden edges.
        observed: Edges that are known, which are no candidates, float32 [n, n].
        options: Settings of the stage.
        seed: Seed of the draw of the candidates that are compared with hidden edges.
    """
    matrix = hidden.matrix(known.products)
    random = np.random.default_rng(seed)
    parts = []
    for pairs, values in candidate_chunks(known, np.unique(hidden.source), options, observed):
        # A lent edge weighs less than 1, and is a hidden edge like any other.
        labels = (values_at(rows_of(matrix, pairs.sources), pairs) > 0).astype(np.float32)
        features = np.stack(list(values.values()), axis=1)
        drawn = labels > 0
        order = random.random(len(pairs)).astype(np.float32) - 2 * labels
        _, _, position = best(pairs, order, options.negatives)
        drawn[position] = True
        counts = np.bincount(pairs.row[drawn], minlength=len(pairs.sources))
        parts.append(Examples(tuple(values), features[drawn], labels[drawn], counts).with_hidden_edges())
    return Examples.together(parts)
