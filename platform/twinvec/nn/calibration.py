"""Calibration: scores of different sources become comparable, and stay dot products.

A softmax fixes the scores of one source up to a constant, so scores of two sources cannot be compared: not for an edge
and its reverse, nor by a threshold. With one more coordinate, −log Σ_v exp(s_u·t_v) in the source vector and 1 in every
target vector, the dot product is log p(v | u).

The meaning of log p(v | u) differs from source to source. A product that many edges enter seldom has edges to its
neighbours, however near they are. A low score says less about a product with few edges than about one with many. So
the published dot product is τ_u log p(v | u) + c_u: the log-odds of an edge against its reverse or a random pair.
log τ_u and c_u are quadratic in the logarithms of u's degrees, and fitted on edges that the model was not trained on.
The order of one source's targets stays the same.
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

from twinvec.nn.sampling.blocks import Neighbours

IntArray = npt.NDArray[np.int64]
# Targets in the sample by which the sum over all targets is estimated.
REFERENCE = 4096
# A constant, two logarithms, their squares and their product.
TERMS = 6
# Standardised logarithms of degrees are clipped at this many standard deviations.
FARTHEST = 3.0
# Ridge penalty of the weights other than the constants, so that few edges give small weights.
RIDGE = 1e-3
# log τ is between −10 and 10. Without a bound, a step of the line search may overflow, and the weights end as NaN.
LARGEST_LOG_WEIGHT = 10.0
# Random pairs for each edge. Half of them have the edge's source.
RANDOM_PAIRS = 4
# Returns the weights, float32 [2, 6], from source and target vectors whose dot product is log p(v | u), float32 [n, d]
# each, and the terms, float32 [n, 6].
WeightFitter = Callable[[Tensor, Tensor, Tensor], Tensor]


class Calibration(nn.Module):
    """Adds the calibrating coordinate to source and target vectors, and scales the source vectors.

    Args:
        target: Target vectors of all products, float32 [n, d]. The sum over them is estimated by 4,096 at random.
        cover: Double cover of the edges that are predicted, 2n nodes, sources first, on the same device.
        seed: Seed of the sample. With at most 4,096 products, the sample is all of them.

    Example:
        >>> import torch
        >>> from twinvec.nn.sampling.blocks import double_cover
        >>> cover = double_cover(torch.tensor([0, 0, 2]), torch.tensor([1, 2, 1]), products=4)
        >>> source, target = torch.randn(2, 4, 16).unbind()
        >>> as_source, as_target = Calibration(target, cover, seed=0)(source, target, cover)
        >>> as_source.shape
        torch.Size([4, 17])
        >>> torch.allclose(as_source @ as_target.T, torch.log_softmax(source @ target.T, dim=1), atol=1e-4)
        True
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

    def set_weights(self, weights: Tensor) -> None:
        """Set the weights, float32 [2, 6]. With zeros, scores are log p(v | u)."""
        self.get_buffer("weights").copy_(weights)

    def fixed_weights(self, _source: Tensor, _target: Tensor, _terms: Tensor) -> Tensor:
        """Return the weights as they are: a `WeightFitter` that fits nothing."""
        return self.get_buffer("weights")

    def forward(self, source: Tensor, target: Tensor, cover: Neighbours) -> tuple[Tensor, Tensor]:
        """Return source and target vectors with one more coordinate, [n, d + 1] each.

        Args:
            source, target: float32 [n, d].
            cover: Double cover of the same n products.
        """
        log_total = torch.logsumexp(source @ self.get_buffer("reference").T, dim=1) + self.log_share
        log_weight, constant = (self.terms(cover) @ self.get_buffer("weights").T).unbind(1)
        weight = _bounded_exp(log_weight)
        return (
            torch.cat([weight.unsqueeze(1) * source, (constant - weight * log_total).unsqueeze(1)], dim=1),
            torch.cat([target, torch.ones_like(log_total).unsqueeze(1)], dim=1),
        )

    def terms(self, cover: Neighbours) -> Tensor:
        """Return the terms in which log τ and c of each product are linear, float32 [n, 6]."""
        standard = (log_degrees(cover) - self.get_buffer("mean")) / self.get_buffer("deviation")
        into, out = standard.clamp(-FARTHEST, FARTHEST).unbind(1)
        return torch.stack([torch.ones_like(into), into, out, into**2, into * out, out**2], dim=1)


def calibrate(
    source: Tensor, target: Tensor, cover: Neighbours, seed: int, fit_weights: WeightFitter | None
) -> tuple[Calibration, Tensor, Tensor]:
    """Return a calibration, and the calibrated source and target vectors, [n, d + 1] each.

    Args:
        source, target: float32 [n, d].
        cover: Double cover of the edges that are predicted, 2n nodes, sources first.
        seed: Seed of the sample of targets.
        fit_weights: Returns the weights. If None, scores are log p(v | u).
    """
    calibration = Calibration(target, cover, seed)
    if fit_weights is not None:
        as_source, as_target = calibration(source, target, cover)
        calibration.set_weights(fit_weights(as_source, as_target, calibration.terms(cover)))
    return calibration, *calibration(source, target, cover)


def log_degrees(cover: Neighbours) -> Tensor:
    """Return log(1 + in-degree) and log(1 + out-degree) of n products, float32 [n, 2].

    Args:
        cover: Double cover of the graph, 2n nodes, sources first.
    """
    outgoing, incoming = cover.degrees().chunk(2)
    return torch.stack([incoming, outgoing], dim=1).float().log1p()


def weight_fitter(
    edges: tuple[IntArray, IntArray], adjacency: sp.csr_array, direction: float, seed: int
) -> WeightFitter:
    """Return the function that fits the weights to edges, their reverses and random pairs.

    It minimises two logistic losses together by L-BFGS: edges against their reverses, and edges against random pairs.
    Each has its own threshold. Without edges, the weights are zero.

    Args:
        edges: Sources and targets of edges that the vectors were not trained on, int64 [edges] each.
        adjacency: Adjacency matrix [n, n] of all edges, `edges` included. Its entries are never negatives.
        direction: Share of the loss of reverses, from 0 to 1. The rest is the loss of random pairs.
        seed: Seed of the random pairs.

    Example:
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> import torch
        >>> from twinvec.nn.sampling.blocks import double_cover
        >>> adjacency = sp.csr_array(np.array([[0, 1, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]]))
        >>> cover = double_cover(torch.tensor([0, 0, 2]), torch.tensor([1, 2, 1]), products=4)
        >>> fit_weights = weight_fitter((np.array([1]), np.array([3])), adjacency, direction=0.75, seed=0)
        >>> calibration, source, target = calibrate(*torch.randn(2, 4, 16).unbind(), cover, 0, fit_weights)
        >>> source.shape, target.shape
        (torch.Size([4, 17]), torch.Size([4, 17]))
    """
    source, target = edges
    one_way = ~_is_edge(adjacency, target, source)
    anyone, drawn = np.random.default_rng(seed).integers(
        0, adjacency.shape[0], (2, RANDOM_PAIRS * len(source))
    )
    sources = np.tile(source, RANDOM_PAIRS)
    sources[len(sources) // 2 :] = anyone[len(sources) // 2 :]
    wrong = ~_is_edge(adjacency, sources, drawn) & (sources != drawn)
    contests = [
        (share, right, other)
        for share, right, other in (
            (direction, (source[one_way], target[one_way]), (target[one_way], source[one_way])),
            (1 - direction, (source, target), (sources[wrong], drawn[wrong])),
        )
        if share and len(right[0]) and len(other[0])
    ]

    def fit_weights(source: Tensor, target: Tensor, terms: Tensor) -> Tensor:
        score = partial(_scores, source, target, terms)
        return _minimise([Contest(share, score(*right), score(*other)) for share, right, other in contests])

    return fit_weights


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
    """Scores of pairs of products.

    Attributes:
        scores: float64 [pairs], on the CPU.
        terms: Terms of the pairs' sources, float64 [pairs, 6], on the CPU.
    """

    scores: Tensor
    terms: Tensor

    def weighted(self, weights: Tensor) -> Tensor:
        """Return τ_u score + c_u, [pairs]."""
        log_weight, constant = (self.terms @ weights.T).unbind(1)
        return _bounded_exp(log_weight) * self.scores + constant


@dataclass(frozen=True)
class Contest:
    """Edges against other pairs.

    Attributes:
        share: Share of the whole loss.
        edges: The edges.
        others: Pairs that are no edges.
    """

    share: float
    edges: Scored
    others: Scored

    def loss(self, weights: Tensor, threshold: Tensor) -> Tensor:
        """Return the logistic loss, in which edges and others weigh the same however many there are."""
        above = functional.softplus(threshold - self.edges.weighted(weights)).mean()
        below = functional.softplus(self.others.weighted(weights) - threshold).mean()
        return self.share * (above + below)


def _bounded_exp(log_weight: Tensor) -> Tensor:
    return log_weight.clamp(-LARGEST_LOG_WEIGHT, LARGEST_LOG_WEIGHT).exp()


def _is_edge(adjacency: sp.csr_array, source: IntArray, target: IntArray) -> npt.NDArray[np.bool_]:
    if not len(source):  # SciPy returns a sparse array if there are no pairs
        return np.zeros(0, bool)
    result: npt.NDArray[np.bool_] = np.asarray(adjacency[source, target]).ravel() != 0
    return result


def _scores(source: Tensor, target: Tensor, terms: Tensor, starts: IntArray, ends: IntArray) -> Scored:
    first, second = (torch.from_numpy(end.copy()).to(source.device) for end in (starts, ends))
    scores = (source[first] * target[second]).sum(1)
    return Scored(scores.double().cpu(), terms[first].double().cpu())
