"""Graph attention (Veličković et al., ICLR 2018), on the double cover.

The layers of DGL and PyG take graph objects of theirs; ours takes the two tensors a relation that blocks and exported
models are made of, and is exported without either library.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.graph.product_graph import ProductGraph
from pipelines.related import data
from pipelines.related.content_encoder import ContentEncoder, softmax_plan
from pipelines.related.plan import Plan
from twinvec.nn.sampling.blocks import Hop, Neighbours
from twinvec.settings import RelatedSettings

SLOPE = 0.2


class Attention(nn.Module):
    """Σ_v α_uv W h_v over the neighbours of one kind, for each of some heads (equations 1 to 4).

    α_uv is a softmax over u's neighbours of LeakyReLU(a_own · W h_u + a_neighbour · W h_v): the paper's vector a in
    two halves.

    Args:
        inputs: length of a vector below.
        outputs: length of what a head gives.
        heads: how many.
    """

    def __init__(self, inputs: int, outputs: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.weight = nn.Linear(inputs, heads * outputs, bias=False)
        self.of_own = nn.Parameter(torch.empty(heads, outputs))
        self.of_neighbour = nn.Parameter(torch.empty(heads, outputs))
        nn.init.xavier_uniform_(self.of_own)
        nn.init.xavier_uniform_(self.of_neighbour)

    def forward(self, own: Tensor, below: Tensor, neighbours: Neighbours) -> Tensor:
        """What each head gives each row, [rows, heads, outputs]; zero for rows without neighbours."""
        values = self.weight(below).unflatten(1, (self.heads, -1))
        # a · W h = (Wᵀ a) · h, so that W h_u itself is not needed.
        weight = self.weight.weight.view(self.heads, -1, own.shape[1])
        from_own = torch.einsum("koi,ko->ik", weight, self.of_own)
        row = torch.repeat_interleave(
            torch.arange(neighbours.rows, device=own.device),
            neighbours.degrees(),
            output_size=neighbours.positions.shape[0],
        )
        scores = (own @ from_own)[row] + (values * self.of_neighbour).sum(2)[neighbours.positions]
        share = softmax_within(functional.leaky_relu(scores, SLOPE), row, neighbours.rows).to(values.dtype)
        heads = [
            functional.embedding_bag(
                neighbours.positions,
                values[:, head].contiguous(),
                neighbours.offsets,
                mode="sum",
                per_sample_weights=share[:, head],
                include_last_offset=True,
            )
            for head in range(self.heads)
        ]
        return torch.stack(heads, dim=1)


def softmax_within(scores: Tensor, row: Tensor, rows: int) -> Tensor:
    """Softmax of each column over the edges of each row.

    Args:
        scores: [edges, heads].
        row: the row of each edge, int64 [edges].
        rows: how many rows there are.
    """
    place = row.unsqueeze(1).expand_as(scores)
    highest = scores.new_full((rows, scores.shape[1]), -torch.inf)
    highest = highest.scatter_reduce(0, place, scores.detach(), "amax")
    powers = (scores - highest[row]).exp()
    total = powers.new_zeros(rows, scores.shape[1]).index_add(0, row, powers)
    return powers / total[row]


class GatLayer(nn.Module):
    """W h_u + b + Σ_r Attention_r(u), the heads side by side (equation 5), or averaged (equation 6).

    A node attends to itself in the paper; here it has a map of its own beside an attention for each kind of edge, since
    it is a neighbour of itself by none.

    Args:
        inputs: length of a vector below.
        outputs: length of what a head gives.
        heads: how many.
        average: whether they are averaged.
        relations: names of the edge types.
    """

    def __init__(
        self, inputs: int, outputs: int, heads: int, average: bool, relations: Sequence[str]
    ) -> None:
        super().__init__()
        self.average = average
        self.own = nn.Linear(inputs, outputs if average else heads * outputs)
        self.attention = nn.ModuleDict({name: Attention(inputs, outputs, heads) for name in relations})

    def forward(self, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Vectors above, from the nodes' own below and their neighbours', [inputs of the hop, inputs]."""
        above: Tensor = self.own(own)
        for name, attention in self.attention.items():
            heads = attention(own, below, hop.neighbours[name])
            above = above + (heads.mean(1) if self.average else heads.flatten(1))
        return above


class GatEncoder(ContentEncoder):
    """Content through a map of the role, then `GatLayer`s with an ELU between them; the last one averages its heads.

    Args:
        content: length of a product's features.
        dimension: length of the vectors.
        layers: hops.
        heads: of each layer; those that are put side by side have a share of `dimension` each.
        relations: names of the edge types.
    """

    def __init__(
        self, content: int, dimension: int, layers: int, heads: int, relations: Sequence[str]
    ) -> None:
        each = -(-dimension // heads)
        super().__init__(content, heads * each)
        self.layers = nn.ModuleList(
            GatLayer(heads * each, dimension if last else each, heads, last, relations)
            for last in [False] * (layers - 1) + [True]
        )

    def activation(self, vectors: Tensor) -> Tensor:
        """ELU between layers."""
        return functional.elu(vectors)


def relations(graph: ProductGraph) -> dict[str, Neighbours]:
    """The double covers of both kinds of edges."""
    return data.relations(graph, reverse=False)


def plan(graph: ProductGraph, content: Tensor, options: RelatedSettings, seed: int) -> Plan:
    """Graph attention on the content, by a softmax over the co-purchase edges."""
    cover = relations(graph)
    recipe = options.gat
    model = GatEncoder(content.shape[1], options.uncalibrated, options.layers, recipe.heads, list(cover))
    return softmax_plan(model, graph, content, cover, recipe, options.calibrate)
