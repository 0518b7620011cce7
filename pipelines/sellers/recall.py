"""How many of the held-out offers are found, also by how little is known of them: soft cold start (WAML 1, 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipelines.graph.product_graph import Split
from pipelines.sellers.graph import SellerGraph
from twinvec.metrics.ranking import rank_by
from twinvec.metrics.scores import DotProducts

IntArray = npt.NDArray[np.int64]
# The rows of the paper's Table 1: name → least and most offers in training.
KNOWN = {"0": (0, 0), "1_to_3": (1, 3), "4_to_9": (4, 9), "10_or_more": (10, None)}


@dataclass(frozen=True)
class CandidateScores:
    """Dot products with candidates; all other nodes rank below them.

    Attributes:
        dots: of all nodes.
        candidate: bool [nodes].
    """

    dots: DotProducts
    candidate: Tensor

    @property
    def products(self) -> int:
        """How many nodes there are."""
        return self.dots.products

    @property
    def device(self) -> torch.device:
        """Where the vectors are."""
        return self.dots.device

    def block(self, sources: IntArray, low: int, high: int) -> Tensor:
        """Scores of the nodes `low` to `high` for some sellers, float32 [sellers, high − low]."""
        return self.dots.block(sources, low, high).masked_fill(~self.candidate[low:high], -torch.inf)

    def pairs(self, sources: IntArray, targets: IntArray) -> Tensor:
        """Scores of pairs, float32 [pairs]."""
        return self.dots.pairs(sources, targets)

    def rounding(self, sources: IntArray, targets: IntArray) -> Tensor:
        """Differences from a pair's score up to which another counts as equal, float32 [pairs]."""
        return self.dots.rounding(sources, targets)


def rank_offers(vectors: Tensor, graph: SellerGraph, split: Split) -> npt.NDArray[np.float64]:
    """Rank of each held-out offer's product among the candidates for its seller, from 1, [offers of the split].

    Left out of a seller's ranking are all other products that it offers, in whatever split.

    Args:
        vectors: of all nodes, float32 [nodes, d].
        graph: its offers are of candidates, where they are held out.
        split: whose offers are ranked.
    """
    candidate = torch.from_numpy(graph.candidate).to(vectors.device)
    known = graph.known(*Split)
    return rank_by(CandidateScores(DotProducts(vectors, vectors), candidate), graph.offers_of(split), known)


def recall_metrics(ranks: npt.NDArray[np.float64], graph: SellerGraph, k: int) -> dict[str, float]:
    """Recall@k of the test offers, of all and by the training offers of the product, and of the seller.

    Args:
        ranks: as `rank_offers` gives them for the test offers.
        graph: whose offers they are.
        k: recommended products among which one counts.

    Returns:
        `recall_at_<k>`, `recall_at_<k>_products_<offers>` and `recall_at_<k>_sellers_<offers>`, each with its number
        of test offers as `offers…`; those of no test offer are not there.
    """
    counts = graph.offer_counts(Split.TRAIN)
    sellers, products = graph.offers_of(Split.TEST)
    found = ranks <= k
    name = f"recall_at_{k}"
    figures = {name: float(found.mean()) if len(found) else 0.0, "offers": float(len(found))}
    for kind, ends in (("products", products), ("sellers", sellers)):
        for label, (least, most) in KNOWN.items():
            of = counts[ends]
            chosen = (of >= least) & (of <= most) if most is not None else of >= least
            if chosen.any():
                figures[f"{name}_{kind}_{label}"] = float(found[chosen].mean())
                figures[f"offers_{kind}_{label}"] = float(chosen.sum())
    return figures
