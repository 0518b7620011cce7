"""WAML from a graph to vectors: start, layers, α, blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.graph.product_graph import Split
from pipelines.sellers.graph import SellerGraph
from pipelines.sellers.objective import OfferObjective
from pipelines.sellers.recall import rank_offers
from pipelines.sellers.waml import FeedForward, compress, initial_vectors, layers, tune
from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.sampling.blocks import Block
from twinvec.nn.training.loop import Epoch, train
from twinvec.settings.sellers import SellerSettings


@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Attributes:
        model: the blocks.
        alphas: of the layers, tuned.
        start: h⁰ of all nodes, [nodes, d], on the CPU.
        history: what each epoch came to.
    """

    model: FeedForward
    alphas: tuple[float, ...]
    start: Tensor
    history: list[Epoch]


def fit(
    graph: SellerGraph,
    content: Tensor,
    options: SellerSettings,
    device: torch.device,
    seed: int,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> Fitted:
    """Fit on the training offers; α, and the epoch whose blocks are kept, by the recall on the validation offers.

    Args:
        graph: of sellers, products and categories.
        content: vectors of the products, float32 [products, c]; c may be 0.
        options: of the model.
        device: to compute on.
        seed: of hashes, blocks and batches.
        report: called after each epoch.
    """
    start = start_of(graph, content, options, seed)
    neighbours = graph.neighbours(Split.TRAIN).to(device)
    held_out = len(graph.offers_of(Split.VALIDATION)[0])

    def recall(vectors: Tensor) -> float:
        return float(np.mean(rank_offers(vectors, graph, Split.VALIDATION) <= options.recall_at))

    alphas = options.alphas
    if held_out and options.tuning:
        types = torch.from_numpy(graph.types).to(device)
        alphas = tune(
            start.to(device),
            neighbours,
            alphas,
            options.tuning,
            lambda vectors: recall(without_type(vectors, types)),
            options.normalise,
        )
    torch.manual_seed(seed)
    model = FeedForward(options.dimension, options.blocks, options.beta).to(device)
    history: list[Epoch] = []
    if options.blocks:
        # Computed once: the layers have nothing to train.
        *_, below = layers(start.to(device), neighbours, alphas, options.normalise)
        encoder = Cached(model)
        history = train(
            encoder,
            CachedFeatures(below),
            NoNeighbours(),
            objective_of(graph, options),
            epochs=options.epochs,
            learning_rate=options.learning_rate,
            weight_decay=0.01,
            seed=seed,
            validate=(lambda _encoder: recall(embed(model, below))) if held_out else None,
            patience=options.patience,
            report=report,
        )
    return Fitted(model.cpu(), alphas, start, history)


def without_type(vectors: Tensor, types: Tensor) -> Tensor:
    """Vectors less the mean of those of their type, of length one, [n, d].

    What all products have in common, such as the hash of their type, says nothing of which to recommend. The blocks
    learn to leave it out; where layers are judged before there are blocks, it is left out for them.

    Args:
        vectors: [n, d].
        types: of each, int64 [n].
    """
    count = torch.bincount(types).clamp_min(1).unsqueeze(1)
    means = (
        torch.zeros(len(count), vectors.shape[1], device=vectors.device).index_add_(0, types, vectors) / count
    )
    return functional.normalize(vectors - means[types])


def start_of(graph: SellerGraph, content: Tensor, options: SellerSettings, seed: int) -> Tensor:
    """h⁰ of all nodes, as the settings have it, [nodes, d]."""
    has_content = options.content and content.shape[1] > 0
    return initial_vectors(
        graph,
        compress(content, options.dimension) if has_content else None,
        options.dimension,
        seed,
        options.node_hash,
        options.type_hash,
    )


def objective_of(graph: SellerGraph, options: SellerSettings) -> OfferObjective:
    """The training offers, for the loss that the settings name."""
    products = np.arange(graph.sellers, graph.sellers + graph.products)
    return OfferObjective(
        offers=graph.offers_of(Split.TRAIN),
        known=graph.known(Split.TRAIN),
        others=None if options.contrastive else products,
        batch=options.batch,
        scale=options.temperature if options.contrastive else options.margin,
    )


def vectors_of(
    fitted: Fitted, graph: SellerGraph, splits: tuple[Split, ...], normalise: bool, device: torch.device
) -> Tensor:
    """Vectors of all nodes, of length one, float32 [nodes, d] on the CPU.

    Args:
        fitted: a model. As its layers have nothing to train, it knows of other offers than it was fitted on.
        graph: the one it was fitted on.
        splits: offers that are edges.
        normalise: as it was fitted.
        device: to compute on.
    """
    neighbours = graph.neighbours(*splits).to(device)
    *_, below = layers(fitted.start.to(device), neighbours, fitted.alphas, normalise)
    return embed(fitted.model.to(device), below).cpu()


@torch.inference_mode()
def embed(model: FeedForward, below: Tensor, chunk: int = 65_536) -> Tensor:
    """The blocks' output for all nodes, [nodes, d], of that of the layers."""
    model.eval()
    return torch.cat([model(part) for part in torch.split(below, chunk)])


class Cached(GraphEncoder):
    """The blocks, as the training loop takes a model: its layers are computed already."""

    def __init__(self, model: FeedForward) -> None:
        super().__init__()
        self.model = model
        self.layers = nn.ModuleList()

    def start(self, below: Tensor) -> Tensor:
        """The blocks' output for some nodes, [nodes, d]."""
        above: Tensor = self.model(below)
        return above


@dataclass(frozen=True)
class CachedFeatures:
    """The layers' output as features.

    Attributes:
        below: [nodes, d].
    """

    below: Tensor

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return self.below.shape[0]

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.below.device

    def of(self, nodes: Tensor) -> tuple[Tensor, ...]:
        """The layers' output for some nodes, [nodes, d]."""
        return (self.below[nodes],)


class NoNeighbours:
    """Samples nothing: the layers, which need neighbours, are computed already."""

    def sample(self, seeds: Tensor) -> Block:
        """The seeds alone."""
        return Block(seeds, ())
