"""Features of candidates for a product without edges: what goes with the products that are like it.

Such a product is new, or nobody has bought or viewed it yet. Its likeness to all products is known by content, and so
is what the likest of them were bought with. The vectors are no features, as they are none of `features.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from pipelines.ranking.content import NONE
from pipelines.ranking.features import PRIOR, Known, Vectors
from pipelines.ranking.sparse import FloatArray, IntArray, row_numbers, rows_of

Weights = npt.NDArray[np.floating[Any]]
# Products whose source vectors stand in for that of a product without edges.
NEIGHBOURS = 10
# Cosine by which a neighbour is lighter by a factor e; the second one is for the very nearest.
TEMPERATURE, SHARP = 0.1, 0.03
# Products whose co-purchases are counted.
NEAREST = 100
# Candidates that the vectors find.
CANDIDATES = 150
# Cosines computed at once.
BLOCK = 20_000_000
# Most products whose vectors are lent to products without edges, so that these cost the same each in any catalogue.
LENDERS = 50_000
# Products that a second and a third step start from, those with the most weight.
SECOND, THIRD = 100, 200


@dataclass(frozen=True)
class Newcomer:
    """A product without edges, as the features read it.

    Attributes:
        cosines: Cosine of its content and that of each product, zero of one without content, float32 [n].
        nearest: Rows of the products that are nearest to it, nearest first, int64 [k].
        levels: Number of its category's path down to each level, −1 below its last, int32 [levels].
        path: Number of its whole path, −1 without one.
        category: Row of its category in the flow between categories, −1 if the catalogue has none such.
    """

    cosines: FloatArray
    nearest: IntArray
    levels: npt.NDArray[np.int32]
    path: int
    category: int


def weigh(cosines: FloatArray, temperature: float = TEMPERATURE) -> FloatArray:
    """Return the weight of each neighbour, float32 […, k], summing to one: a softmax of the cosines, float32 […, k]."""
    weights = np.exp((cosines - cosines.max(-1, keepdims=True)) / temperature)
    share: FloatArray = weights / weights.sum(-1, keepdims=True)
    return share


def nearest_rows(cosines: FloatArray, k: int) -> IntArray:
    """Return the rows of the k largest of n cosines, the largest first; all if there are fewer.

    Args:
        cosines: Cosines, float32 […, n].
        k: Number of rows.

    Returns:
        Rows, int64 […, k].
    """
    k = min(k, cosines.shape[-1])
    rows = np.argpartition(-cosines, k - 1)[..., :k]
    order = np.argsort(-np.take_along_axis(cosines, rows, -1), kind="stable")
    return np.take_along_axis(rows, order, -1)


def lend_vectors(vectors: Vectors, text: FloatArray | None, degrees: FloatArray) -> Vectors:
    """Return the vectors with the source vector of each stranger taken from the ten products that are nearest to it.

    A model of the graph knows nothing of a product without edges; the table of `docs/cold_start.md` has both ways. The
    vector of a stranger without content stays. In a large catalogue, the products with most edges lend.

    Args:
        vectors: Source and target vectors of n products.
        text: Vectors of their content, of length one or zero, float32 [n, d]; None without content.
        degrees: Number of edges of each product, float32 [n]; strangers have none.
    """
    if text is None:
        return vectors
    told = np.abs(text).sum(1) > 0
    lenders, takers = np.flatnonzero(told & (degrees > 0)), np.flatnonzero(told & (degrees == 0))
    if not len(lenders) or not len(takers):
        return vectors
    lenders = np.sort(lenders[np.argsort(-degrees[lenders], kind="stable")[:LENDERS]])
    source = vectors.source.copy()
    content = text[lenders].T
    for some in np.array_split(takers, -(-len(takers) * len(lenders) // BLOCK)):
        cosines = text[some] @ content
        near = nearest_rows(cosines, NEIGHBOURS)
        weights = weigh(np.take_along_axis(cosines, near, 1))
        source[some] = np.einsum("tk,tkd->td", weights, vectors.source[lenders[near]])
    return Vectors(source, vectors.target)


def compute_cold(known: Known, product: Newcomer, candidates: IntArray) -> dict[str, FloatArray]:
    """Return the features of some candidates of a product without edges, name → float32 [c].

    Args:
        known: What is known of the products of the catalogue.
        product: The product.
        candidates: Rows of the candidates, int64 [c].
    """
    relations, near = known.relations, product.nearest
    cosines = product.cosines[near]
    broad, sharp = weigh(cosines), weigh(cosines, SHARP)
    ten = np.r_[weigh(cosines[:NEIGHBOURS]), np.zeros(len(near[NEIGHBOURS:]))]
    per_target = 1 / np.maximum(relations.out_degree, 1)
    into = relations.in_degree[candidates]
    votes = _Votes.of(relations.out, near, candidates)
    vote = votes.count(broad)
    first, first_weights = _step(relations.out, near, broad * per_target[near], SECOND)
    second, second_weights = _step(
        relations.into, first, first_weights / np.maximum(relations.in_degree[first], 1), THIRD
    )
    values = {
        "votes": vote,
        "votes_of_nearest": votes.count(sharp),
        "votes_of_ten": votes.count(ten),
        "votes_by_targets": votes.count(broad * per_target[near]),
        "votes_by_root": vote / np.sqrt(np.maximum(into, 1)),
        "votes_by_sources": vote / np.maximum(into, 1),
        "voters": votes.count(np.ones(len(near))),
        "votes_back": _Votes.of(relations.into, near, candidates).count(broad),
        "votes_views": _Votes.of(relations.views, near, candidates).count(broad),
        "chain": _Votes.of(relations.out, first, candidates).count(first_weights * per_target[first]),
        "like": _Votes.of(relations.out, second, candidates).count(second_weights * per_target[second]),
        "text": product.cosines[candidates],
        "text_gap": product.cosines[candidates] - cosines[0],
        "text_of_sources": _mean_of_sources(relations.into, candidates, product.cosines),
        "nearest": np.full(len(candidates), cosines[0]),
        "tenth": np.full(len(candidates), cosines[min(NEIGHBOURS, len(cosines)) - 1]),
        "neighbours_out": np.full(len(candidates), broad @ relations.out_degree[near]),
        "target_out": relations.out_degree[candidates],
        "target_in": into,
        "target_views": relations.view_degree[candidates],
        "target_share": (1 + into) / (2 + into + relations.out_degree[candidates]),
        **_categories(known, product, candidates),
    }
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


@dataclass(frozen=True)
class _Votes:
    """Entries of some rows of a relation at the candidates.

    Attributes:
        row: Position of each entry's row, int64 [entries].
        candidate: Position of its candidate, int64 [entries].
        size: Number of candidates.
    """

    row: IntArray
    candidate: IntArray
    size: int

    @classmethod
    def of(cls, relation: sp.csr_array, rows: IntArray, candidates: IntArray) -> _Votes:
        some = rows_of(relation, rows)
        order = np.argsort(candidates)
        place = np.minimum(np.searchsorted(candidates, some.indices, sorter=order), len(candidates) - 1)
        chosen = candidates[order[place]] == some.indices
        return cls(row_numbers(some)[chosen], order[place[chosen]], len(candidates))

    def count(self, weights: Weights) -> Weights:
        """Return the sum of the weights of the rows that have each candidate, [c]."""
        return np.asarray(np.bincount(self.candidate, weights[self.row], self.size), np.float64)


def _step(relation: sp.csr_array, rows: IntArray, weights: Weights, most: int) -> tuple[IntArray, Weights]:
    """Return the products that some rows lead to, with the sum of the rows' weights; the heaviest of them."""
    some = rows_of(relation, rows)
    reached, place = np.unique(some.indices, return_inverse=True)
    total = np.asarray(np.bincount(place, weights[row_numbers(some)], len(reached)), np.float64)
    heaviest = np.argsort(-total, kind="stable")[:most]
    return reached[heaviest].astype(np.int64), total[heaviest]


def _mean_of_sources(into: sp.csr_array, candidates: IntArray, cosines: FloatArray) -> Weights:
    """Return the mean cosine of the sources of each candidate, zero without any, [c]."""
    some = rows_of(into, candidates)
    total = np.bincount(row_numbers(some), cosines[some.indices], len(candidates))
    mean: Weights = total / np.maximum(np.diff(some.indptr), 1)
    return mean


def _categories(known: Known, product: Newcomer, candidates: IntArray) -> dict[str, Weights]:
    content, flow = known.content, known.category_flow
    theirs, path, there = content.levels[candidates], content.path[candidates], content.category[candidates]
    count, total = np.zeros(len(flow.share)), 0.0
    if product.category != NONE:
        count, total = flow.count[[product.category]].toarray()[0], float(flow.total[product.category])
    unknown = (path == NONE) | (product.path == NONE)
    return {
        "category_depth": ((theirs == product.levels) & (theirs != NONE)).sum(1),
        "category_same": np.where(unknown, np.nan, path == product.path),
        "category_flow": np.log((count[there] + PRIOR * flow.share[there]) / (total + PRIOR)),
    }
