"""WAML from a graph of sellers to vectors: initial vectors, layers, their weights α, blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipelines.graph.product_graph import Split
from pipelines.sellers.graph import SellerGraph, hash_ids
from pipelines.sellers.recall import rank_offers
from twinvec.nn.losses.contrastive import PairObjective
from twinvec.nn.models.waml import (
    FeedForward,
    FeedForwardEncoder,
    LayerFeatures,
    NoNeighbours,
    compress,
    embed,
    initial_vectors,
    layers,
    tune,
    without_type_mean,
)
from twinvec.nn.training.loop import Epoch, train
from twinvec.settings.sellers import SellerSettings


@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Attributes:
        model: The blocks.
        alphas: Weights of the layers, tuned.
        start: h⁰ of all nodes, [nodes, d], on the CPU.
        history: Figures of each epoch.
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
    """Fit on the training offers; the recall of the validation offers decides α and which epoch's blocks are kept.

    Args:
        graph: Graph of sellers, products and categories.
        content: Vectors of the products, float32 [products, c]; c may be 0.
        options: Settings of the model.
        device: Device to compute on.
        seed: Seed of hashes, blocks and batches.
        report: Called after each epoch.
    """
    start = make_start(graph, content, options, seed)
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
            lambda vectors: recall(without_type_mean(vectors, types)),
            options.normalise,
        )
    torch.manual_seed(seed)
    model = FeedForward(options.dimension, options.blocks, options.beta).to(device)
    history: list[Epoch] = []
    if options.blocks:
        # Computed once: the layers have no parameters.
        *_, below = layers(start.to(device), neighbours, alphas, options.normalise)
        encoder = FeedForwardEncoder(model)
        history = train(
            encoder,
            LayerFeatures(below),
            NoNeighbours(),
            make_objective(graph, options),
            epochs=options.epochs,
            learning_rate=options.learning_rate,
            weight_decay=0.01,
            seed=seed,
            validate=(lambda _encoder: recall(embed(model, below))) if held_out else None,
            patience=options.patience,
            report=report,
        )
    return Fitted(model.cpu(), alphas, start, history)


def make_start(
    graph: SellerGraph, content: Tensor, options: SellerSettings, seed: int, axes: Tensor | None = None
) -> Tensor:
    """Return h⁰ of all nodes by the settings, [nodes, d]; `axes` as in `compress`."""
    has_content = options.content and content.shape[1] > 0
    return initial_vectors(
        hash_ids(graph.ids),
        graph.types,
        compress(content, options.dimension, axes) if has_content else None,
        graph.sellers,
        options.dimension,
        seed,
        options.node_hash,
        options.type_hash,
    )


def make_objective(graph: SellerGraph, options: SellerSettings) -> PairObjective:
    """Return the training offers with the loss that the settings name."""
    products = np.arange(graph.sellers, graph.sellers + graph.products)
    return PairObjective(
        pairs=graph.offers_of(Split.TRAIN),
        linked=graph.offer_matrix(Split.TRAIN),
        others=None if options.contrastive else products,
        batch=options.batch,
        scale=options.temperature if options.contrastive else options.margin,
    )


def vectors_of(
    fitted: Fitted, graph: SellerGraph, splits: tuple[Split, ...], normalise: bool, device: torch.device
) -> Tensor:
    """Return vectors of all nodes, of unit length, float32 [nodes, d] on the CPU.

    Args:
        fitted: The model. Its layers have no parameters, so that they take in offers it was not fitted on.
        graph: The graph it was fitted on.
        splits: Splits whose offers are edges.
        normalise: `normalise` of the fit.
        device: Device to compute on.
    """
    neighbours = graph.neighbours(*splits).to(device)
    *_, below = layers(fitted.start.to(device), neighbours, fitted.alphas, normalise)
    return embed(fitted.model.to(device), below).cpu()
