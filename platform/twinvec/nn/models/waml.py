"""WAML: weighted averaging of messages over layers without parameters, then feed-forward blocks (WAML 2.2, 2.3).

The hash vectors that nodes start from are not trained (2.2), and the layers have no parameters. So the layers are
computed once for all nodes, and only the blocks, which read one node at a time, are trained on the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.hashing import hash_vectors
from twinvec.nn.sampling.aggregation import sum_neighbours
from twinvec.nn.sampling.blocks import Block, Neighbours

IntArray = npt.NDArray[np.int64]
TUNING_STEP = 0.1


def initial_vectors(
    keys: IntArray,
    types: IntArray,
    content: Tensor | None,
    first_content: int,
    dimension: int,
    seed: int,
    node_hash: bool = True,
    type_hash: bool = True,
) -> Tensor:
    """Return h⁰ = HASH(node id) + HASH(node type) + x, where x is zero for nodes without content (2.2).

    Args:
        keys: Hash of each node's id, int64 [nodes].
        types: Type of each node, from 0, int64 [nodes].
        content: x of consecutive nodes, float32 [with content, dimension]; None for none.
        first_content: First node that has content.
        dimension: d, a multiple of 8.
        seed: Seed of the hashes.
        node_hash: Whether the term of the node id is added.
        type_hash: Whether the term of the node type is added.

    Returns:
        float32 [nodes, dimension].

    Example:
        >>> initial_vectors(np.array([11, 12, 13]), np.array([0, 1, 1]), torch.ones(2, 8), 1, 8, seed=0).shape
        torch.Size([3, 8])
    """
    start = np.zeros((len(keys), dimension), np.float32)
    if node_hash:
        # Nodes of different types that share an id are two nodes.
        start += hash_vectors("node id", keys + types, dimension, seed)
    if type_hash:
        start += hash_vectors("node type", np.arange(types.max(initial=0) + 1), dimension, seed)[types]
    if content is not None:
        start[first_content : first_content + len(content)] += content.numpy()
    return torch.from_numpy(start)


def principal_axes(content: Tensor, dimension: int) -> Tensor:
    """Return the first principal axes of content vectors, [n, c], as columns, float32 [c, dimension].

    Example:
        >>> principal_axes(torch.eye(3), 2).shape
        torch.Size([3, 2])
    """
    _, axes = torch.linalg.eigh(content.double().T @ content.double())
    first: Tensor = axes.flip(1)[:, :dimension].float()
    return first


def compress(content: Tensor, dimension: int, axes: Tensor | None = None) -> Tensor:
    """Return content vectors, [n, c], in `dimension` coordinates, float32 of unit length; zero vectors stay zero.

    The vectors are turned to principal axes, of which the first are kept. Shorter ones are padded with zeros.

    Args:
        content: Content vectors, float32 [n, c].
        dimension: Coordinates that are kept.
        axes: Axes to turn the vectors to, [c, dimension]; their own if not given.

    Example:
        >>> compress(torch.eye(3), 5).shape
        torch.Size([3, 5])
    """
    if content.shape[1] > dimension:
        content = content @ (principal_axes(content, dimension) if axes is None else axes)
    return functional.normalize(functional.pad(content, (0, dimension - content.shape[1])))


def layers(
    vectors: Tensor, neighbours: Neighbours, alphas: Sequence[float], normalise: bool = True
) -> Iterator[Tensor]:
    """Apply one layer for each α and yield its output (2.2).

        h_v ← h_v / ‖h_v‖,   n_v = Σ_u h_u / √|N(v)|,   n_v ← n_v / ‖n_v‖,   h_v ← α h_v + (1 − α) n_v

    A node without neighbours has n_v = 0.

    Args:
        vectors: h⁰, or the output of an earlier layer, [nodes, d].
        neighbours: N(v) of all nodes.
        alphas: Weight of a node's own vector in each layer.
        normalise: Whether h_v and n_v are brought to unit length.

    Example:
        >>> from twinvec.nn.sampling.blocks import from_edges
        >>> pair = from_edges(torch.tensor([0, 1]), torch.tensor([1, 0]), 2)
        >>> [output.tolist() for output in layers(torch.eye(2), pair, [0.5])]
        [[[0.5, 0.5], [0.5, 0.5]]]
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
    """Try each layer's α higher and lower, from the first layer on, and keep what scores better.

    Args:
        start: h⁰, [nodes, d].
        neighbours: Neighbours of all nodes.
        alphas: Weights to start from.
        rounds: Largest number of passes over the layers; a pass without an improvement is the last.
        score: Quality of the last layer's output at unit length; higher is better.
        normalise: As in `layers`.

    Returns:
        The best weights.
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


def without_type_mean(vectors: Tensor, types: Tensor) -> Tensor:
    """Return the vectors less the mean of their type, at unit length, [n, d].

    What all nodes of a type have in common, such as the hash of their type, ranks none above another. The blocks learn
    to leave it out; where layers are scored before there are blocks, it is subtracted here.

    Args:
        vectors: [n, d].
        types: Type of each vector, int64 [n].

    Example:
        >>> without_type_mean(torch.tensor([[3.0, 1.0], [1.0, 1.0]]), torch.tensor([0, 0])).tolist()
        [[1.0, 0.0], [-1.0, 0.0]]
    """
    count = torch.bincount(types).clamp_min(1).unsqueeze(1)
    means = (
        torch.zeros(len(count), vectors.shape[1], device=vectors.device).index_add_(0, types, vectors) / count
    )
    return functional.normalize(vectors - means[types])


class FeedForward(nn.Module):
    """J blocks, each of which adds a vector of length β; the output has unit length (2.3).

        x₁ = LayerNorm(x),   x₂ = GELU(x₁W₁ + b₁),   x₃ = x₂W₂ + b₂,   out = x + β x₃ / ‖x₃‖

    Args:
        dimension: d of input and output; within a block it is 4d.
        blocks: J.
        beta: β.

    Example:
        >>> FeedForward(dimension=8, blocks=2, beta=0.25)(torch.ones(3, 8)).shape
        torch.Size([3, 8])
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
        """Return vectors of unit length, [n, d], for the layers' output of some nodes, [n, d]."""
        for block in self.blocks:
            vectors = vectors + self.beta * functional.normalize(block(vectors))
        return functional.normalize(vectors)


@torch.inference_mode()
def embed(model: FeedForward, below: Tensor, chunk: int = 65_536) -> Tensor:
    """Return the blocks' output for all nodes, [nodes, d].

    Args:
        model: The blocks, left in evaluation mode.
        below: Output of the layers, [nodes, d].
        chunk: Nodes computed at a time.

    Example:
        >>> embed(FeedForward(8, blocks=1, beta=0.25), torch.ones(5, 8), chunk=2).shape
        torch.Size([5, 8])
    """
    model.eval()
    return torch.cat([model(part) for part in torch.split(below, chunk)])


class FeedForwardEncoder(GraphEncoder):
    """The blocks as a graph encoder without layers: what the training loop trains, as the layers are computed.

    Args:
        model: The blocks.
    """

    def __init__(self, model: FeedForward) -> None:
        super().__init__()
        self.model = model
        self.layers = nn.ModuleList()

    def start(self, below: Tensor) -> Tensor:
        """Return the blocks' output for some nodes, [nodes, d]."""
        above: Tensor = self.model(below)
        return above


@dataclass(frozen=True)
class LayerFeatures:
    """The layers' output as the features of nodes.

    Attributes:
        below: [nodes, d].
    """

    below: Tensor

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.below.shape[0]

    @property
    def device(self) -> torch.device:
        """Device of the features."""
        return self.below.device

    def of(self, nodes: Tensor) -> tuple[Tensor, ...]:
        """Return the layers' output for some nodes, [nodes, d]."""
        return (self.below[nodes],)


class NoNeighbours:
    """A sampler that samples no neighbours, for encoders without layers."""

    def sample(self, seeds: Tensor) -> Block:
        """Return a block of the seeds alone."""
        return Block(seeds, ())
