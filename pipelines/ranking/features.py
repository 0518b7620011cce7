"""Features of pairs of products, from which the ranker tells how related the target is to the source.

Every feature is computed for a chunk of sources at a time, from the relations that are observed: an edge that was taken
out of them has left no trace in a feature of its pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from pipelines.ranking.content import NONE, Content
from pipelines.ranking.relations import Relations
from pipelines.ranking.sparse import (
    FloatArray,
    IntArray,
    Pairs,
    ranks_within,
    rows_of,
    scaled,
    values_at,
)
from twinvec.nn.pagerank import walks

Marks = npt.NDArray[np.uint64]
# Smoothing of the flow between categories: a category's edges count as if so many more went where edges go anyway.
PRIOR = 5.0
# Scores of a pair whose rank among the source's candidates is a feature, too.
RANKED = ("walk_both", "walk_views", "like_targets", "like_sources", "like_neighbours", "adamic")


@dataclass(frozen=True)
class Walks:
    """Random walks with restart.

    Attributes:
        restart: Probability of returning to the start at each step.
        steps: Number of steps.
        least: Probabilities under this are dropped.
    """

    restart: float
    steps: int
    least: float


@dataclass(frozen=True)
class Vectors:
    """Source and target vectors of n products, float32 [n, d] each."""

    source: FloatArray
    target: FloatArray


@dataclass(frozen=True)
class CategoryFlow:
    """Co-purchases between c categories.

    Attributes:
        count: Number of edges from each category to each, float32 [c, c].
        total: Number of edges from each category, float32 [c].
        share: Share of all edges that go to each category, smoothed, float32 [c].
    """

    count: sp.csr_array
    total: FloatArray
    share: FloatArray


@dataclass(frozen=True)
class Known:
    """All that is known of n products when their candidates are ranked.

    Attributes:
        relations: Observed co-purchases and co-views.
        content: Categories, brands, prices and texts.
        vectors: Source and target vectors, by which candidates are found, and ranked where the graph knows nothing of
            their source. They are no features: they have seen the edges that the ranker learns from. None if there are
            none.
        walks: Parameters of the walks.
        identities: A number of each product that it keeps when products are numbered anew, uint64 [n].
    """

    relations: Relations
    content: Content
    vectors: Vectors | None
    walks: Walks
    identities: Marks

    @property
    def degrees(self) -> FloatArray:
        """Number of co-purchases and co-views of each product, float32 [n]."""
        relations = self.relations
        return relations.out_degree + relations.in_degree + relations.view_degree

    def strangers(self, sources: IntArray) -> npt.NDArray[np.bool_]:
        """Return which sources the graph knows nothing of, bool [r]."""
        strangers: npt.NDArray[np.bool_] = self.degrees[sources] == 0
        return strangers

    @property
    def products(self) -> int:
        """Number of products, n."""
        return self.relations.products

    @cached_property
    def category_flow(self) -> CategoryFlow:
        """Co-purchases between the categories."""
        category, edges = self.content.category, self.relations.out.tocoo()
        size = int(category.max(initial=-1)) + 1
        ends = category[edges.coords[0]], category[edges.coords[1]]
        count = sp.csr_array((np.ones(edges.nnz, np.float32), ends), shape=(size, size))
        count.sum_duplicates()
        into: FloatArray = np.asarray(count.sum(0)).ravel()
        share = ((into + 1) / (into.sum() + size)).astype(np.float32)
        return CategoryFlow(count, np.asarray(count.sum(1)).ravel(), share)

    @cached_property
    def profiles(self) -> Mapping[str, FloatArray]:
        """Name → mean text vector of each product's targets or sources, float32 [n, d]."""
        out, into = self.relations.out, self.relations.into
        means: dict[str, FloatArray] = {}
        if self.content.text is not None:
            means |= {
                "text_targets": mean(out, self.content.text),
                "text_sources": mean(into, self.content.text),
            }
        return means


def mean(relation: sp.csr_array, vectors: FloatArray) -> FloatArray:
    """Return the mean of the vectors of each product's neighbours, zero without any, float32 [n, d]."""
    degree = np.maximum(np.diff(relation.indptr), 1)[:, None]
    return np.asarray(relation @ vectors / degree, np.float32)


def score_rows(known: Known, sources: IntArray) -> dict[str, sp.csr_array]:
    """Return what the graph tells of every target of some sources, name → float32 [r, n]."""
    relations, options = known.relations, known.walks
    out, into, either, views = (
        rows_of(matrix, sources)
        for matrix in (relations.out, relations.into, relations.either, relations.views)
    )
    second, weight = relations.second_steps, relations.middle_weights
    forth, back, both = second["forth"], second["back"], second["both"]
    rows = {
        f"walk_{name}": walks(transition, sources, options.restart, options.steps, options.least)
        for name, transition in relations.transitions.items()
    }
    products = {
        "adamic": (scaled(either, columns=weight["adamic"]), both),
        "resource": (scaled(either, columns=weight["resource"]), both),
        "chain": (out, forth),
        "chain_weighted": (scaled(out, columns=weight["out"]), forth),
        "chain_back": (into, back),
        "common_targets": (out, back),
        "common_targets_weighted": (scaled(out, columns=weight["in"]), back),
        "common_sources": (into, forth),
        "common_sources_weighted": (scaled(into, columns=weight["out"]), forth),
        "like_targets": (out, relations.target_likeness),
        "like_sources": (rows_of(relations.source_likeness, sources), forth),
        "like_neighbours": (either, relations.likeness),
        "views_of_targets": (out, second["views"]),
        "targets_of_views": (views, forth),
    }
    rows |= {name: sp.csr_array(left @ right) for name, (left, right) in products.items()}
    return rows | {
        "back": into,
        "views": views,
        "likeness": rows_of(relations.likeness, sources),
        "target_likeness": rows_of(relations.target_likeness, sources),
        "source_likeness": rows_of(relations.source_likeness, sources),
    }


def compute(known: Known, rows: Mapping[str, sp.csr_array], pairs: Pairs) -> dict[str, FloatArray]:
    """Return the features of some pairs, name → float32 [pairs]; NaN where something is not known.

    Args:
        known: What is known of the products.
        rows: Outcome of `score_rows` for the sources of the pairs.
        pairs: Pairs.
    """
    values = {name: values_at(matrix, pairs) for name, matrix in rows.items()}
    values |= _degrees(known.relations, pairs)
    values |= _content(known, pairs)
    # Known co-purchases are no candidates where the ranker learns, so ranks do not count them where it makes lists.
    bought = values_at(rows_of(known.relations.out, pairs.sources), pairs) > 0
    values |= {f"rank_{name}": ranks_within(pairs, values[name], bought) for name in RANKED}
    return values


def _degrees(relations: Relations, pairs: Pairs) -> dict[str, FloatArray]:
    source, target = pairs.source, pairs.target
    out, into = relations.out_degree, relations.in_degree
    return {
        "source_out": out[source],
        "source_in": into[source],
        "source_views": relations.view_degree[source],
        "target_out": out[target],
        "target_in": into[target],
        "target_views": relations.view_degree[target],
        "target_share": (1 + into[target]) / (2 + into[target] + out[target]),
    }


def _content(known: Known, pairs: Pairs) -> dict[str, FloatArray]:
    content = known.content
    source, target = pairs.source, pairs.target
    ours, theirs = content.levels[source], content.levels[target]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log(content.price[target] / content.price[source])
    values = {
        "category_depth": ((ours == theirs) & (ours != NONE)).sum(1).astype(np.float32),
        "category_same": _same(content.path, pairs),
        "category_flow": _flow(known, pairs),
        "brand_same": _same(content.brand, pairs),
        "price_ratio": ratio.astype(np.float32),
        "price_target": content.price[target],
    }
    if content.text is not None:
        means = known.profiles
        values["text"] = dots(content.text, content.text, pairs)
        values["text_of_targets"] = dots(means["text_targets"], content.text, pairs)
        values["text_of_sources"] = dots(content.text, means["text_sources"], pairs)
    return values


def _same(numbers: np.ndarray, pairs: Pairs) -> FloatArray:
    """Return 1 for equal numbers, 0 for different ones, NaN where one is missing, float32 [pairs]."""
    ours, theirs = numbers[pairs.source], numbers[pairs.target]
    return np.where((ours == NONE) | (theirs == NONE), np.nan, ours == theirs).astype(np.float32)


def _flow(known: Known, pairs: Pairs) -> FloatArray:
    """Return the logarithm of the share of the source's category's edges that go to the target's, float32 [pairs]."""
    if not len(pairs):
        return np.zeros(0, np.float32)
    category, flow = known.content.category, known.category_flow
    here, there = category[pairs.source], category[pairs.target]
    count = np.asarray(flow.count[here, there]).ravel()
    logarithm = np.log((count + PRIOR * flow.share[there]) / (flow.total[here] + PRIOR))
    # Rounded, so that one more edge does not change what is known of every product of its category.
    rounded: FloatArray = np.round(logarithm, 1).astype(np.float32)
    return rounded


def dots(left: FloatArray, right: FloatArray, pairs: Pairs, batch: int = 100_000) -> FloatArray:
    """Return the dot products of the sources' rows of `left` and the targets' of `right`, float32 [pairs]."""
    result = np.empty(len(pairs), np.float32)
    source, target = pairs.source, pairs.target
    for first in range(0, len(pairs), batch):
        some = slice(first, first + batch)
        result[some] = np.einsum("pd,pd->p", left[source[some]], right[target[some]])
    return result
