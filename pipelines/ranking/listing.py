"""Lists of related products: candidates of each source, in the order of the ranker's scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from pipelines.graph.product_graph import Edges
from pipelines.ranking.candidates import find_candidates
from pipelines.ranking.features import Known, compute, dots, score_rows
from pipelines.ranking.ranker import Examples, Ranker
from pipelines.ranking.sparse import FloatArray, IntArray, Pairs, rows_of, values_at
from twinvec.vectors.lists import NONE

Marks = npt.NDArray[np.uint64]


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
    known: Known, sources: IntArray, each: int, chunk: int, without: sp.csr_array | None = None
) -> Iterator[tuple[Pairs, dict[str, FloatArray]]]:
    """Yield the candidates of some sources at a time, and their features by name.

    Args:
        known: What is known of the products.
        sources: The sources, int64 [r].
        each: Number of candidates that each score contributes.
        chunk: Number of sources at a time.
        without: Pairs that are no candidates, nonzero in float32 [n, n].
    """
    for first in range(0, len(sources), chunk):
        some = sources[first : first + chunk]
        rows = score_rows(known, some)
        left_out = rows_of(without, some) if without is not None else None
        asked = None if known.products <= known.compared else known.strangers(some)
        pairs = find_candidates(rows, some, each, known.vectors, left_out, asked)
        yield pairs, compute(known, rows, pairs)


def make_lists(
    known: Known,
    ranker: Ranker | None,
    sources: IntArray,
    length: int,
    each: int,
    chunk: int,
    threads: int = 0,
    without: sp.csr_array | None = None,
    taken: Ranked | None = None,
    identities: Marks | None = None,
) -> Ranked:
    """Return the lists of some sources.

    Without a ranker, and for products in no co-purchase or co-view, they are in the order of the vectors.

    Args:
        known: What is known of the products.
        ranker: Ranker.
        sources: The sources, int64 [r].
        length: Largest number of products in a list.
        each: Number of candidates that each score contributes.
        chunk: Number of sources at a time, on which the memory depends.
        threads: Number of threads of the trees; 0 takes all cores.
        without: Pairs that are not listed, nonzero in float32 [n, n].
        taken: Lists of the same sources by the same ranker at another time; those whose marks are the same still are
            taken over.
        identities: A number of each product that it keeps when products are numbered anew, uint64 [n]; its own number
            if not given.
    """
    names = identities if identities is not None else np.arange(known.products, dtype=np.uint64)
    targets = np.full((len(sources), length), NONE, np.int32)
    scores = np.zeros((len(sources), length), np.float32)
    marks = np.zeros(len(sources), np.uint64)
    first = 0
    for pairs, values in candidate_chunks(known, sources, each, chunk, without):
        some = slice(first, first + len(pairs.sources))
        features = _evidence(known, ranker, pairs, values)
        marks[some] = mark_rows(pairs, features, names)
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
            score[by_ranker] = ranker.score(features[new][by_ranker, 1:], threads)
        row, place, order = best(pairs, score, length)
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

    A sum of products with fixed odd numbers, modulo 2^64: the chance that two rows that differ share it is negligible.
    """
    random = np.random.default_rng(0)
    drawn: npt.NDArray[np.int64] = random.integers(0, 2**62, (features.shape[1],))
    odd = [np.uint64(2 * int(factor) + 1) for factor in drawn]
    digests = _mixed(identities[pairs.target])
    for column, factor in enumerate(odd):
        # Zero and minus zero are one value; a column at a time, since all as integers take twice their memory.
        bits = (features[:, column] + np.float32(0)).view(np.uint32).astype(np.uint64)
        digests = digests + bits * factor
    marks = np.zeros(len(pairs.sources), np.uint64)
    np.add.at(marks, pairs.row, _mixed(digests))
    return marks


def _mixed(values: Marks) -> Marks:
    """Return the numbers with their bits mixed (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


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
    known: Known, hidden: Edges, observed: sp.csr_array, each: int, negatives: int, chunk: int, seed: int
) -> Examples:
    """Return queries for edges that are hidden from all that is known.

    Args:
        known: What is known without the hidden edges.
        hidden: Hidden edges.
        observed: Edges that are known, which are no candidates, float32 [n, n].
        each: Number of candidates that each score contributes.
        negatives: Largest number of other candidates of a source that are compared with its hidden edges.
        chunk: Number of sources at a time.
        seed: Seed of the draw of the other candidates.
    """
    matrix = hidden.matrix(known.products)
    random = np.random.default_rng(seed)
    parts = []
    for pairs, values in candidate_chunks(known, np.unique(hidden.source), each, chunk, observed):
        labels = values_at(rows_of(matrix, pairs.sources), pairs)
        features = np.stack(list(values.values()), axis=1)
        drawn = labels > 0
        _, _, position = best(pairs, random.random(len(pairs)).astype(np.float32) - 2 * labels, negatives)
        drawn[position] = True
        counts = np.bincount(pairs.row[drawn], minlength=len(pairs.sources))
        parts.append(Examples(tuple(values), features[drawn], labels[drawn], counts).with_hidden_edges())
    return Examples.together(parts)
