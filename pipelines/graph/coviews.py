"""Retrieval metrics of an encoder on the co-views that a graph holds out for testing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from pipelines.graph.product_graph import ProductGraph, Split
from pipelines.graph.renumbering import renumbered, row_of
from twinvec.metrics.coviews import coview_ranks
from twinvec.metrics.ranking import RankingMetrics, ranking_metrics


@dataclass(frozen=True)
class CoviewRanks:
    """Ranks of both products of each test co-view, searched from the other among all.

    Attributes:
        ranks: Ranks from 1, float64 [2, pairs].
        across: Mask of the pairs whose titles are of different languages, bool [pairs]; all False without languages.
    """

    ranks: npt.NDArray[np.float64]
    across: npt.NDArray[np.bool_]


def rank_test_coviews(
    graph: ProductGraph,
    product_ids: pa.Array | Sequence[str],
    vectors: npt.NDArray[np.float32],
    languages: npt.NDArray[np.int64] | None = None,
) -> CoviewRanks | None:
    """Rank the test co-views between products that have a vector; None if there are none.

    Args:
        graph: The graph that holds the co-views.
        product_ids: Ids of products that have a vector, strings [n]; pairs of other products are left out.
        vectors: Vectors of length one, float32 [n, d].
        languages: Number of each product's language, int64 [n]; negative for a product without one.
    """
    row = row_of(graph, product_ids)
    test = renumbered(graph.coviews(Split.TEST), row)
    others = renumbered(graph.coviews(Split.TRAIN, Split.VALIDATION), row)
    if not len(test):
        return None
    ranks, chosen = coview_ranks(
        torch.from_numpy(np.asarray(vectors)), test.ends, others.matrix(len(vectors))
    )
    if languages is None:
        return CoviewRanks(ranks, np.zeros(len(chosen), np.bool_))
    first, second = (languages[end[chosen]] for end in test.ends)
    return CoviewRanks(ranks, (first != second) & (first >= 0) & (second >= 0))


def coview_metrics(
    graph: ProductGraph,
    product_ids: pa.Array | Sequence[str],
    vectors: npt.NDArray[np.float32],
    languages: npt.NDArray[np.int64] | None = None,
) -> dict[str, float]:
    """Return Hits@k and MRR@10 on the test co-views, as `coview_hits_at_1` and so on; empty if there are none.

    With languages, those of the pairs of different languages alone are there too, as `coview_across_hits_at_1` and so
    on; they are ranked among the products of all languages. For the arguments see `rank_test_coviews`.
    """
    found = rank_test_coviews(graph, product_ids, vectors, languages)
    if found is None:
        return {}
    metrics = _named(ranking_metrics(found.ranks.ravel()), "coview_")
    if found.across.any():
        metrics |= _named(ranking_metrics(found.ranks[:, found.across].ravel()), "coview_across_")
    return metrics


def _named(metrics: RankingMetrics, prefix: str) -> dict[str, float]:
    names = ("hits_at_1", "hits_at_3", "hits_at_5", "hits_at_10", "mrr_at_10")
    return {f"{prefix}{name}": getattr(metrics, name) for name in names}
