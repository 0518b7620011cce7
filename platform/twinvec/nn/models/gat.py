"""Graph attention (Veličković et al., ICLR 2018), on the double cover.

https://arxiv.org/abs/1710.10903. The layers of DGL and PyG take graph objects of these libraries. This one takes two
tensors a relation, as blocks and exported models have them, and can be exported without either library.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from twinvec.nn.models.content_encoder import ContentEncoder
from twinvec.nn.sampling.blocks import Hop, Neighbours

SLOPE = 0.2


class Attention(nn.Module):
    """Σ_v α_uv W h_v over the neighbours by one relation, for several heads (equations 1 to 4).

    α_uv is a softmax over u's neighbours of LeakyReLU(a_own · W h_u + a_neighbour · W h_v): the paper's vector a in
    two halves.

    Args:
        inputs: Length of an input vector.
        outputs: Length of the output of one head.
        heads: Number of heads.
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
        """Return the output of each head, [rows, heads, outputs]; zero for rows without neighbours.

        Args:
            own: Input vectors of the nodes themselves, [rows, inputs].
            below: Input vectors of their neighbours, [inputs of the hop, inputs].
            neighbours: The neighbours of each node, as positions in `below`.
        """
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
    """Return the softmax of each column over the edges of each row, [edges, heads].

    Args:
        scores: [edges, heads].
        row: The row of each edge, int64 [edges].
        rows: Number of rows.

    Example:
        >>> import torch
        >>> softmax_within(torch.zeros(3, 1), torch.tensor([0, 0, 1]), rows=2).squeeze(1).tolist()
        [0.5, 0.5, 1.0]
    """
    place = row.unsqueeze(1).expand_as(scores)
    highest = scores.new_full((rows, scores.shape[1]), -torch.inf)
    highest = highest.scatter_reduce(0, place, scores.detach(), "amax")
    powers = (scores - highest[row]).exp()
    total = powers.new_zeros(rows, scores.shape[1]).index_add(0, row, powers)
    return powers / total[row]


class GATLayer(nn.Module):
    """W h_u + b + Σ_r Attention_r(u), with the heads concatenated (equation 5) or averaged (equation 6).

    In the paper a node attends to itself. Here it has a map of its own beside an attention for each relation, because
    a node is not its own neighbour by any relation.

    Args:
        inputs: Length of an input vector.
        outputs: Length of the output of one head.
        heads: Number of heads.
        average: Whether the heads are averaged; otherwise they are concatenated.
        relations: Names of the edge types.
    """

    def __init__(
        self, inputs: int, outputs: int, heads: int, average: bool, relations: Sequence[str]
    ) -> None:
        super().__init__()
        self.average = average
        self.own = nn.Linear(inputs, outputs if average else heads * outputs)
        self.attention = nn.ModuleDict({name: Attention(inputs, outputs, heads) for name in relations})

    def forward(self, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Return the output vectors: [rows, outputs] if heads are averaged, else [rows, heads * outputs].

        Args:
            own: Input vectors of the nodes themselves, [rows, inputs].
            below: Input vectors of their neighbours, [inputs of the hop, inputs].
            hop: The neighbours of each node.
        """
        above: Tensor = self.own(own)
        for name, attention in self.attention.items():
            heads = attention(own, below, hop.neighbours[name])
            above = above + (heads.mean(1) if self.average else heads.flatten(1))
        return above


class GAT(ContentEncoder):
    """Content through a linear map of the role, then `GATLayer`s with an ELU between them.

    The last layer averages its heads, the others concatenate them.

    Args:
        content: Length of a product's features.
        dimension: Length of an output vector.
        layers: Number of layers.
        heads: Heads of each layer. Concatenated heads have a length of `dimension` / `heads` each, rounded up.
        relations: Names of the edge types.

    Example:
        >>> import torch
        >>> from twinvec.nn.features import Features
        >>> from twinvec.nn.models import GAT
        >>> from twinvec.nn.sampling.blocks import double_cover
        >>> from twinvec.nn.training.inference import infer_dual
        >>> copurchase = double_cover(torch.tensor([0, 0, 2]), torch.tensor([1, 2, 1]), products=4)
        >>> features = Features(content=torch.randn(4, 6), proximity=torch.zeros(8, 0))
        >>> model = GAT(content=6, dimension=16, layers=2, heads=4, relations=["copurchase"])
        >>> source, target = infer_dual(model, features, {"copurchase": copurchase})
        >>> source.shape, target.shape
        (torch.Size([4, 16]), torch.Size([4, 16]))
    """

    def __init__(
        self, content: int, dimension: int, layers: int, heads: int, relations: Sequence[str]
    ) -> None:
        each = -(-dimension // heads)
        super().__init__(content, heads * each)
        self.layers = nn.ModuleList(
            GATLayer(heads * each, dimension if last else each, heads, last, relations)
            for last in [False] * (layers - 1) + [True]
        )

    def activation(self, vectors: Tensor) -> Tensor:
        """Apply an ELU."""
        return functional.elu(vectors)
