"""Scores that mean the same whoever asks, as a dot product still.

A softmax fixes the scores of one source up to a constant, so that those of two sources cannot be compared: not
between an edge and its reverse, nor by a threshold. With one more coordinate, −log Σ_v exp(s_u·t_v) in the source
vector and 1 in every target vector, the dot product is log p(v | u).

How much that says differs from source to source. What many lead to seldom leads to them, however near it is; and of a
product with few edges a low score says less than of one with many. So the dot product that is published is
τ_u log p(v | u) + c_u, its log-odds to be an edge rather than its own reverse, or a pair at random. log τ_u and c_u are
quadratic in the logarithms of u's degrees, fitted on edges that the model was not trained on. The order of one source's
targets stays, whatever they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.graph.product_graph import Edges
from twinvec.nn.sampling.blocks import Neighbours

IntArray = npt.NDArray[np.int64]
REFERENCE = 4096
# Of a constant, two logarithms, their squares and their product.
TERMS = 6
# Standard deviations from the mean that a logarithm of a degree counts for at most.
FARTHEST = 3.0
# Of the weights but the constants, so that few edges make little of them.
RIDGE = 1e-3
# Pairs at random for each edge: as many of its source as of any.
RANDOM_PAIRS = 4
# Weights, float32 [2, 6], from vectors whose dot product is log p(v | u), float32 [n, d], and the terms, [n, 6].
Settle = Callable[[Tensor, Tensor, Tensor], Tensor]


class Calibration(nn.Module):
    """Adds the coordinate to source and target vectors, and weighs the source's.

    Args:
        target: target vectors of all products, float32 [n, d]. The sum over them is estimated by 4,096 at random.
        cover: double cover of the edges that are predicted, 2n nodes, sources first, on the same device.
        seed: of the sample; with no more than 4,096 products it is all of them.
    """

    def __init__(self, target: Tensor, cover: Neighbours, seed: int) -> None:
        super().__init__()
        products = len(target)
        chosen = torch.randperm(products, generator=torch.Generator().manual_seed(seed))[:REFERENCE]
        self.register_buffer("reference", target[chosen.to(target.device)].clone())
        self.log_share = math.log(products / len(chosen))
        degrees = log_degrees(cover)
        self.register_buffer("mean", degrees.mean(0))
        self.register_buffer("deviation", degrees.std(0, correction=0).clamp_min(1e-6))
        self.register_buffer("weights", torch.zeros(2, TERMS, device=target.device))

    def weigh(self, weights: Tensor) -> None:
        """Set what a `Settle` gave, float32 [2, 6]. With zeros, scores are log p(v | u)."""
        self.get_buffer("weights").copy_(weights)

    def as_settled(self, _source: Tensor, _target: Tensor, _terms: Tensor) -> Tensor:
        """The weights as they are, whatever is to be calibrated: a `Settle`."""
        return self.get_buffer("weights")

    def forward(self, source: Tensor, target: Tensor, cover: Neighbours) -> tuple[Tensor, Tensor]:
        """Source and target vectors with one coordinate more, [n, d + 1] each.

        Args:
            source, target: float32 [n, d].
            cover: of the same n products.
        """
        log_total = torch.logsumexp(source @ self.get_buffer("reference").T, dim=1) + self.log_share
        log_weight, constant = (self.terms(cover) @ self.get_buffer("weights").T).unbind(1)
        weight = log_weight.exp()
        return (
            torch.cat([weight.unsqueeze(1) * source, (constant - weight * log_total).unsqueeze(1)], dim=1),
            torch.cat([target, torch.ones_like(log_total).unsqueeze(1)], dim=1),
        )

    def terms(self, cover: Neighbours) -> Tensor:
        """What log τ and c are linear in, of each product, float32 [n, 6]."""
        standard = (log_degrees(cover) - self.get_buffer("mean")) / self.get_buffer("deviation")
        into, out = standard.clamp(-FARTHEST, FARTHEST).unbind(1)
        return torch.stack([torch.ones_like(into), into, out, into**2, into * out, out**2], dim=1)


def calibrated(
    source: Tensor, target: Tensor, cover: Neighbours, seed: int, settle: Settle | None
) -> tuple[Calibration, Tensor, Tensor]:
    """A calibration, and the source and target vectors it makes of these, [n, d + 1] each.

    Args:
        source, target: float32 [n, d].
        cover: double cover of the edges that are predicted, 2n nodes, sources first.
        seed: of the sample of targets.
        settle: gives the weights; without, scores are log p(v | u).
    """
    calibration = Calibration(target, cover, seed)
    if settle is not None:
        as_source, as_target = calibration(source, target, cover)
        calibration.weigh(settle(as_source, as_target, calibration.terms(cover)))
    return calibration, *calibration(source, target, cover)


def log_degrees(cover: Neighbours) -> Tensor:
    """log(1 + in-degree) and log(1 + out-degree) of n products, float32 [n, 2].

    Args:
        cover: double cover of the graph, 2n nodes, sources first.
    """
    outgoing, incoming = cover.degrees().chunk(2)
    return torch.stack([incoming, outgoing], dim=1).float().log1p()


def settle_by(edges: Edges, known: sp.csr_array, direction: float, seed: int) -> Settle:
    """What finds the weights by which scores tell edges best from their reverses and from random pairs.

    Two logistic losses are minimised together, each with a threshold of its own, by L-BFGS. Without edges to tell from
    anything, the weights are zero.

    Args:
        edges: that the vectors know nothing of.
        known: [n, n], nonzero where there is an edge, `edges` included: what is not told from an edge.
        direction: share of the loss that is about reverses, from 0 to 1; the rest is about random pairs.
        seed: of the random pairs.
    """
    one_way = edges.only(~_is_edge(known, *edges.ends[::-1]))
    anyone, drawn = np.random.default_rng(seed).integers(0, known.shape[0], (2, RANDOM_PAIRS * len(edges)))
    sources = np.tile(edges.source, RANDOM_PAIRS)
    sources[len(sources) // 2 :] = anyone[len(sources) // 2 :]
    wrong = ~_is_edge(known, sources, drawn) & (sources != drawn)
    contests = [
        (share, right, other)
        for share, right, other in (
            (direction, one_way.ends, one_way.ends[::-1]),
            (1 - direction, edges.ends, (sources[wrong], drawn[wrong])),
        )
        if share and len(right[0]) and len(other[0])
    ]

    def settle(source: Tensor, target: Tensor, terms: Tensor) -> Tensor:
        score = partial(_scores, source, target, terms)
        return _minimise([Contest(share, score(*right), score(*other)) for share, right, other in contests])

    return settle


def _minimise(contests: list[Contest]) -> Tensor:
    weights = torch.zeros(2, TERMS, dtype=torch.float64, requires_grad=True)
    thresholds = torch.zeros(len(contests), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, thresholds], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        total = RIDGE * weights[:, 1:].square().sum()
        for contest, threshold in zip(contests, thresholds, strict=True):
            total = total + contest.loss(weights, threshold)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach().float()


@dataclass(frozen=True)
class Scored:
    """Pairs of products: their scores [pairs], and the terms of their sources [pairs, 6], float64 on the CPU."""

    scores: Tensor
    terms: Tensor

    def weighed(self, weights: Tensor) -> Tensor:
        """τ_u score + c_u, [pairs]."""
        log_weight, constant = (self.terms @ weights.T).unbind(1)
        return log_weight.exp() * self.scores + constant


@dataclass(frozen=True)
class Contest:
    """Edges, what they are to be told from, and the share that this has of the loss."""

    share: float
    edges: Scored
    others: Scored

    def loss(self, weights: Tensor, threshold: Tensor) -> Tensor:
        """Logistic, edges and others counting alike however many there are."""
        above = functional.softplus(threshold - self.edges.weighed(weights)).mean()
        below = functional.softplus(self.others.weighed(weights) - threshold).mean()
        return self.share * (above + below)


def _is_edge(known: sp.csr_array, source: IntArray, target: IntArray) -> npt.NDArray[np.bool_]:
    if not len(source):  # of no pairs, SciPy gives a sparse array
        return np.zeros(0, bool)
    found: npt.NDArray[np.bool_] = np.asarray(known[source, target]).ravel() != 0
    return found


def _scores(source: Tensor, target: Tensor, terms: Tensor, starts: IntArray, ends: IntArray) -> Scored:
    first, second = (torch.from_numpy(end.copy()).to(source.device) for end in (starts, ends))
    found = (source[first] * target[second]).sum(1)
    return Scored(found.double().cpu(), terms[first].double().cpu())
