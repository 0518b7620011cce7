"""Amazon's related products in directed graphs (ECML 2022): dual embeddings, and a loss that knows direction.

From the authors' article, whose sections are named here. It describes the model in words; where it leaves a choice
open, ours is stated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.graph.product_graph import Edges, ProductGraph
from pipelines.related import data
from pipelines.related.data import COPURCHASE, SIMILAR
from pipelines.related.plan import Plan
from twinvec.nn.features import Features
from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.layers.mean import MeanLayer
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.settings import RelatedSettings


class DaemonEncoder(GraphEncoder):
    """Section "GNN embeddings": source and target start as the content, alike, then two equations a layer.

    s_u ← W s_u + b + W_cp mean_{u → v} t_v + W_cv mean_{w similar to u} s_w,
    t_v ← W t_v + b + W_cp mean_{u → v} s_u + W_cv mean_{w similar to v} t_w,

    which are one, `MeanLayer`, on the double cover with co-views within a role. Our reading are the means, the weights
    that both roles share, the ReLU between layers, and the term W of the node itself, without which a product that has
    no edges would have no vector of its content.

    Args:
        content: length of a product's features.
        dimension: length of the vectors.
        layers: hops; the article has two.
        relations: names of the edge types.
    """

    def __init__(self, content: int, dimension: int, layers: int, relations: Sequence[str]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            MeanLayer(content if index == 0 else dimension, dimension, relations) for index in range(layers)
        )

    def activation(self, vectors: Tensor) -> Tensor:
        """ReLU between layers."""
        return torch.relu(vectors)


def directed_loss(
    forward: Tensor, random: Tensor, one_way: Tensor, backward: Tensor, asymmetry: float
) -> Tensor:
    """Section "GNN embeddings", last paragraph but one: contrast with random products, and the term of asymmetry.

    For edges u → v and random products z, the mean over all edges of

        −log σ(s_u·t_v) − mean_z log σ(−s_u·t_z) + λ [−log σ(s_u·t_v) − log σ(−s_v·t_u)],

    the bracket for one-way edges only. The article gives the terms in words; the logistic form is our reading, and so
    is that the edges of a step share their random products, which makes many cost little.

    Args:
        forward: s_u·t_v, [edges].
        random: s_u·t_z, [edges, negatives]; −∞ where z is u itself.
        one_way: numbers of the edges whose reverse is none, int64 [some].
        backward: s_v·t_u of these, [some].
        asymmetry: λ.
    """
    contrast = functional.softplus(-forward).mean() + functional.softplus(random).mean()
    directed = functional.softplus(-forward[one_way]) + functional.softplus(backward)
    return contrast + asymmetry * directed.sum() / len(forward)


@dataclass(frozen=True)
class DaemonBatch:
    """Edges, random products and the reverses of those that are one-way, as positions among the seeds."""

    seeds: Tensor
    source: Tensor
    target: Tensor
    negatives: Tensor
    one_way: Tensor
    reverse_source: Tensor
    reverse_target: Tensor
    products: int
    asymmetry: float

    def loss(self, vectors: Tensor) -> Tensor:
        """Contrast and asymmetry."""
        source = vectors[self.source]
        own = (self.seeds[self.negatives] - self.products == self.seeds[self.source].unsqueeze(1)).to(
            vectors.device
        )
        return directed_loss(
            (source * vectors[self.target]).sum(1),
            (source @ vectors[self.negatives].T).masked_fill(own, -torch.inf),
            self.one_way.to(vectors.device),
            (vectors[self.reverse_source] * vectors[self.reverse_target]).sum(1),
            self.asymmetry,
        )


@dataclass(frozen=True)
class DaemonObjective:
    """Each co-purchase edge against random products, and each one-way edge against its reverse.

    Attributes:
        source, target: the edges, int64 [edges], products.
        one_way: whether the reverse of each is no edge, bool [edges].
        products: how many there are.
        negatives: random products a step, which all its edges are set against.
        asymmetry: λ of `directed_loss`.
        batch: edges a step.
    """

    source: Tensor
    target: Tensor
    one_way: Tensor
    products: int
    negatives: int
    asymmetry: float
    batch: int

    def batches(self, generator: np.random.Generator) -> Iterator[DaemonBatch]:
        """One epoch: every edge once."""
        order = torch.from_numpy(generator.permutation(len(self.source)))
        for chosen in torch.split(order, self.batch):
            source, target = self.source[chosen], self.target[chosen]
            negatives = torch.from_numpy(generator.integers(0, self.products, self.negatives))
            one_way = self.one_way[chosen].nonzero().squeeze(1)
            as_target = self.products
            parts = [
                source,
                target + as_target,
                negatives + as_target,
                target[one_way],
                source[one_way] + as_target,
            ]
            seeds, place = torch.unique(torch.cat(parts), return_inverse=True)
            places = torch.split(place, [len(part) for part in parts])
            yield DaemonBatch(
                seeds,
                source=places[0],
                target=places[1],
                negatives=places[2],
                one_way=one_way,
                reverse_source=places[3],
                reverse_target=places[4],
                products=self.products,
                asymmetry=self.asymmetry,
            )


def one_way(edges: Edges, products: int) -> Tensor:
    """Whether the reverse of each edge is no edge, bool [edges]."""
    pairs, reverses = edges.source * products + edges.target, edges.target * products + edges.source
    return torch.from_numpy(~np.isin(reverses, pairs))


def relations(graph: ProductGraph) -> dict[str, Neighbours]:
    """Co-purchases between the roles, co-views within each."""
    return {COPURCHASE: data.relations(graph, reverse=False)[COPURCHASE], SIMILAR: data.similar(graph)}


def plan(graph: ProductGraph, content: Tensor, options: RelatedSettings, seed: int) -> Plan:
    """DAEMON on the content, by its own loss on the co-purchase edges."""
    recipe, edges = options.daemon, graph.copurchase
    cover = relations(graph)
    return Plan(
        model=DaemonEncoder(content.shape[1], options.dimension, options.layers, list(cover)),
        features=Features(content, torch.zeros(2 * graph.products, 0)),
        graph=cover,
        objective=DaemonObjective(
            torch.from_numpy(edges.source),
            torch.from_numpy(edges.target),
            one_way(edges, graph.products),
            graph.products,
            negatives=recipe.negatives,
            asymmetry=recipe.asymmetry,
            batch=recipe.batch,
        ),
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
    )
