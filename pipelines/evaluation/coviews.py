"""How well a space brings co-viewed products together: the rank of one of them among all, from the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from pipelines.graph.product_graph import Edges, ProductGraph, Split
from twinvec.metrics.ranking import RankingMetrics, rank_targets, ranking_metrics

MOST_PAIRS = 5_000


def rank_coviews(vectors: Tensor, pairs: Edges, known: Edges, most: int = MOST_PAIRS) -> RankingMetrics:
    """Rank both ends of co-view pairs from each other among all products, `known` pairs left out of the ranking.

    Args:
        vectors: of length one, float32 [n, d]; the ranking is done on their device.
        pairs: to be found.
        known: pairs that an encoder was trained on.
        most: pairs that are ranked at most, drawn evenly from all.
    """
    asked = pairs.evenly(most).both_ways()
    left_out = known.both_ways().matrix(len(vectors))
    return ranking_metrics(rank_targets(vectors, vectors, asked.ends, left_out))


def coview_metrics(
    graph: ProductGraph, product_ids: pa.Array | Sequence[str], vectors: npt.NDArray[np.float32]
) -> dict[str, float]:
    """Hits and MRR on the test co-views, as `coview_hits_at_1` and so on; empty where there are none.

    Args:
        graph: whose co-views they are.
        product_ids: of some of its products, strings [n]; pairs of others are left out.
        vectors: of length one, float32 [n, d].
    """
    row = row_of(graph, product_ids)
    test = among(graph.coviews(Split.TEST), row)
    known = among(graph.coviews(Split.TRAIN, Split.VALIDATION), row)
    if not len(test):
        return {}
    found = rank_coviews(torch.from_numpy(np.asarray(vectors)), test, known)
    names = ("hits_at_1", "hits_at_3", "hits_at_5", "hits_at_10", "mrr_at_10")
    return {f"coview_{name}": getattr(found, name) for name in names}


def row_of(graph: ProductGraph, product_ids: pa.Array | Sequence[str]) -> npt.NDArray[np.int64]:
    """Row of each of the graph's products in `product_ids`, −1 where it is not among them, int64 [products]."""
    place = pc.index_in(graph.product_ids, pa.array(product_ids, graph.product_ids.type))
    rows: npt.NDArray[np.int64] = pc.fill_null(place, -1).to_numpy().astype(np.int64)
    return rows


def among(pairs: Edges, row: npt.NDArray[np.int64]) -> Edges:
    """The pairs whose products both have a row, by these rows, int64 [products], −1 where there is none."""
    source, target = row[pairs.source], row[pairs.target]
    present = (source >= 0) & (target >= 0)
    return Edges(source[present], target[present], pairs.count[present])
