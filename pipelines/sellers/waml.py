"""WAML: weighted averaging of messages over layers without parameters, then feed-forward blocks (WAML 2.2, 2.3).

The hashes that nodes start from are not trained (2.2) and the layers have nothing to train, so that all layers are
computed once for all nodes, and only the blocks, which look at one node at a time, are trained on the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.sellers.graph import SellerGraph
from pipelines.sellers.hashing import hash_ids, hash_vectors
from twinvec.nn.sampling.aggregation import sum_neighbours
from twinvec.nn.sampling.blocks import Neighbours

TUNING_STEP = 0.1


def initial_vectors(
    graph: SellerGraph,
    content: Tensor | None,
    dimension: int,
    seed: int,
    node_hash: bool = True,
    type_hash: bool = True,
) -> Tensor:
    """h⁰ = HASH(node id) + HASH(node type) + x, where x is zero for sellers and categories (2.2).

    Args:
        graph: its nodes.
        content: x of the products, float32 [products, dimension]; none: zero throughout.
        dimension: d.
        seed: of the hashes.
        node_hash, type_hash: whether these terms are there.

    Returns:
        float32 [nodes, dimension].
    """
    start = np.zeros((graph.nodes, dimension), np.float32)
    if node_hash:
        # A seller and a product of the same id are two nodes.
        start += hash_vectors("node id", hash_ids(graph.ids) + graph.types, dimension, seed)
    if type_hash:
        start += hash_vectors("node type", np.arange(3), dimension, seed)[graph.types]
    if content is not None:
        start[graph.sellers : graph.sellers + graph.products] += content.numpy()
    return torch.from_numpy(start)


def compress(content: Tensor, dimension: int) -> Tensor:
    """The product vectors, [n, c], in `dimension` coordinates, of length one or zero as before, float32.

    They are turned to their principal axes, of which the first are kept; fewer are filled up with zeros.
    """
    if content.shape[1] > dimension:
        _, axes = torch.linalg.eigh(content.double().T @ content.double())
        content = content @ axes.flip(1)[:, :dimension].float()
    return functional.normalize(functional.pad(content, (0, dimension - content.shape[1])))


def layers(
    vectors: Tensor, neighbours: Neighbours, alphas: Sequence[float], normalise: bool = True
) -> Iterator[Tensor]:
    """Apply the layers of these α, giving the output of each (2.2).

        h_v ← h_v / ‖h_v‖,   n_v = Σ_u h_u / √|N(v)|,   n_v ← n_v / ‖n_v‖,   h_v ← α h_v + (1 − α) n_v

    A node without neighbours has n_v = 0.

    Args:
        vectors: h⁰, or the output of an earlier layer, [nodes, d].
        neighbours: N(v) of all nodes.
        alphas: weight of a node's own vector in each layer.
        normalise: false leaves both lengths as they are.
    """
    root = neighbours.degrees().clamp_min(1).sqrt().unsqueeze(1)
    for alpha in alphas:
        own = functional.normalize(vectors) if normalise else vectors
        around = sum_neighbours(own, neighbours) / root
        if normalise:
            around = functional.normalize(around)
        vectors = alpha * own + (1 - alpha) * around
        yield vectors


def tune(
    start: Tensor,
    neighbours: Neighbours,
    alphas: Sequence[float],
    rounds: int,
    score: Callable[[Tensor], float],
    normalise: bool = True,
) -> tuple[float, ...]:
    """Try each layer's α higher and lower, the first layer first, and keep what scores better.

    Args:
        start: h⁰, [nodes, d].
        neighbours: of all nodes.
        alphas: to start from.
        rounds: times that every layer is tried, unless nothing helps any more.
        score: how good the last layer's output is, of length one each; better if higher.
        normalise: as in `layers`.
    """
    best = list(alphas)
    below = [start, *layers(start, neighbours, best, normalise)]
    highest = score(functional.normalize(below[-1]))
    for _ in range(rounds):
        before = highest
        for layer in range(len(best)):
            for step in (-TUNING_STEP, TUNING_STEP):
                tried = [*best[:layer], round(best[layer] + step, 4), *best[layer + 1 :]]
                if not 0 < tried[layer] < 1:
                    continue
                above = list(layers(below[layer], neighbours, tried[layer:], normalise))
                figure = score(functional.normalize(above[-1]))
                if figure > highest:
                    highest, best, below = figure, tried, [*below[: layer + 1], *above]
                    break
        if highest == before:
            break
    return tuple(best)


class FeedForward(nn.Module):
    """J blocks, each of which changes a vector by one of length β, and the output's length one (2.3).

        x₁ = LayerNorm(x),   x₂ = GELU(x₁W₁ + b₁),   x₃ = x₂W₂ + b₂,   out = x + β x₃ / ‖x₃‖

    Args:
        dimension: d of input and output; within a block it is 4d.
        blocks: J.
        beta: β.
    """

    def __init__(self, dimension: int, blocks: int, beta: float) -> None:
        super().__init__()
        self.beta = beta
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(dimension),
                nn.Linear(dimension, 4 * dimension),
                nn.GELU(),
                nn.Linear(4 * dimension, dimension),
            )
            for _ in range(blocks)
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors of length one, [n, d], of the layers' output for some nodes, [n, d]."""
        for block in self.blocks:
            vectors = vectors + self.beta * functional.normalize(block(vectors))
        return functional.normalize(vectors)
