"""Ranks and recall of a seller graph's held-out offers (WAML 3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipelines.graph.product_graph import Split
from pipelines.sellers.graph import SellerGraph
from twinvec.metrics.ranking import rank_by
from twinvec.metrics.recall import recall_by_count
from twinvec.metrics.scores import CandidateScores, DotProducts


def rank_offers(vectors: Tensor, graph: SellerGraph, split: Split) -> npt.NDArray[np.float64]:
    """Return the rank of each held-out offer's product among the candidates for its seller, from 1, [offers].

    Left out of a seller's ranking are all other products that it offers, in whatever split.

    Args:
        vectors: Vectors of all nodes, float32 [nodes, d].
        graph: The graph; its held-out offers are of candidates.
        split: Split whose offers are ranked.
    """
    candidate = torch.from_numpy(graph.candidate).to(vectors.device)
    offers = graph.offer_matrix(*Split)
    return rank_by(CandidateScores(DotProducts(vectors, vectors), candidate), graph.offers_of(split), offers)


def recall_metrics(ranks: npt.NDArray[np.float64], graph: SellerGraph, k: int) -> dict[str, float]:
    """Return recall@k of the test offers: of all, and by the training offers of the product and of the seller.

    Args:
        ranks: Ranks of the test offers, as `rank_offers` returns them.
        graph: The graph whose offers they are.
        k: Number of recommended products among which one counts.

    Returns:
        `recall_at_<k>`, `recall_at_<k>_products_<range>` and `recall_at_<k>_sellers_<range>`, each with its number
        of test offers as `offers…`; see `twinvec.metrics.recall`.
    """
    counts = graph.offer_counts(Split.TRAIN)
    sellers, products = graph.offers_of(Split.TEST)
    return recall_by_count(ranks, {"products": counts[products], "sellers": counts[sellers]}, k)
