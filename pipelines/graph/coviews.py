"""Retrieval metrics of an encoder on the co-views that a graph holds out for testing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from pipelines.graph.product_graph import ProductGraph, Split
from pipelines.graph.renumbering import renumbered, row_of
from twinvec.metrics.coviews import coview_ranks
from twinvec.metrics.ranking import RankingMetrics, ranking_metrics


def coview_metrics(
    graph: ProductGraph,
    product_ids: pa.Array | Sequence[str],
    vectors: npt.NDArray[np.float32],
    languages: npt.NDArray[np.int64] | None = None,
) -> dict[str, float]:
    """Return Hits@k and MRR@10 on the test co-views, as `coview_hits_at_1` and so on; empty if there are none.

    With languages, those of the pairs of different languages alone are there too, as `coview_across_hits_at_1` and so
    on; they are ranked among the products of all languages.

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
        return {}
    ranks, chosen = coview_ranks(
        torch.from_numpy(np.asarray(vectors)), test.ends, others.matrix(len(vectors))
    )
    metrics = _named(ranking_metrics(ranks.ravel()), "coview_")
    if languages is not None:
        first, second = (languages[end[chosen]] for end in test.ends)
        across = (first != second) & (first >= 0) & (second >= 0)
        if across.any():
            metrics |= _named(ranking_metrics(ranks[:, across].ravel()), "coview_across_")
    return metrics


def _named(metrics: RankingMetrics, prefix: str) -> dict[str, float]:
    names = ("hits_at_1", "hits_at_3", "hits_at_5", "hits_at_10", "mrr_at_10")
    return {f"{prefix}{name}": getattr(metrics, name) for name in names}
