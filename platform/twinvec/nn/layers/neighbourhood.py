"""Graph layers over a batch of neighbourhoods, by name: GCN, GAT, Chebyshev and a plain GNN (SALAM, Table 3).

The neighbourhoods of a batch lie side by side in one graph without edges between them, so that no layer pads.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from twinvec.nn.models.gat import SLOPE, softmax_within


@dataclass(frozen=True)
class Neighbourhoods:
    """Neighbourhoods of r roots: n nodes and e undirected edges in all.

    Attributes:
        features: Input vectors of the nodes, float32 [n, F].
        edges: Positions of both ends of each edge, int64 [2, e]; no edge comes twice, in neither direction.
        roots: Position of each root, int64 [r].
    """

    features: Tensor
    edges: Tensor
    roots: Tensor

    def to(self, device: torch.device) -> Neighbourhoods:
        """Return the same on a device."""
        return Neighbourhoods(self.features.to(device), self.edges.to(device), self.roots.to(device))

    def directed(self) -> tuple[Tensor, Tensor]:
        """Return source and target of each edge in both directions, int64 [2e] each."""
        return torch.cat([self.edges[0], self.edges[1]]), torch.cat([self.edges[1], self.edges[0]])


def normalised_sum(values: Tensor, graph: Neighbourhoods, self_loops: bool) -> Tensor:
    """Return D^−½ A D^−½ `values`, [n, d] (equation 3).

    Args:
        values: One row a node, [n, d].
        graph: Edges of A.
        self_loops: True for A + I in the place of A, as the GCN that the paper cites has it.
    """
    source, target = graph.directed()
    degree = values.new_zeros(len(values)).index_add(0, target, values.new_ones(len(target))) + self_loops
    scale = degree.clamp(min=1).rsqrt().unsqueeze(1)
    scaled = values * scale
    total = torch.zeros_like(values).index_add(0, target, scaled[source])
    return (total + scaled if self_loops else total) * scale


class GCN(nn.Module):
    """D^−½ A D^−½ h W (equation 3); Kipf and Welling, ICLR 2017.

    Args:
        inputs: Length of an input vector.
        outputs: Length of an output vector.
        self_loops: True for A + I in the place of A.
    """

    def __init__(self, inputs: int, outputs: int, self_loops: bool = True) -> None:
        super().__init__()
        self.weight = nn.Linear(inputs, outputs)
        self.self_loops = self_loops

    def forward(self, graph: Neighbourhoods) -> Tensor:
        """Return the output vectors, [n, outputs]."""
        values = graph.features @ self.weight.weight.T
        return normalised_sum(values, graph, self.self_loops) + self.weight.bias


class GAT(nn.Module):
    """Σ_v α_uv W h_v over u and its neighbours, one head; Veličković et al., ICLR 2018, equations 1 to 4."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Linear(inputs, outputs)
        self.of_own = nn.Parameter(torch.empty(1, outputs))
        self.of_neighbour = nn.Parameter(torch.empty(1, outputs))
        nn.init.xavier_uniform_(self.of_own)
        nn.init.xavier_uniform_(self.of_neighbour)

    def forward(self, graph: Neighbourhoods) -> Tensor:
        """Return the output vectors, [n, outputs]."""
        values = graph.features @ self.weight.weight.T
        own = torch.arange(len(values), device=values.device)
        source, target = (torch.cat([ends, own]) for ends in graph.directed())
        scores = (values @ self.of_own.T)[target] + (values @ self.of_neighbour.T)[source]
        share = softmax_within(functional.leaky_relu(scores, SLOPE), target, len(values))
        return torch.zeros_like(values).index_add(0, target, share * values[source]) + self.weight.bias


class Chebyshev(nn.Module):
    """Σ_k T_k(L̃) h W_k for k = 0, 1, 2 with L̃ = −D^−½ A D^−½; Defferrard et al., NeurIPS 2016.

    L̃ = 2 L / λ_max − I with λ_max = 2, the largest eigenvalue of the normalised Laplacian of a bipartite graph.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weights = nn.ModuleList(nn.Linear(inputs, outputs, bias=number == 0) for number in range(3))

    def forward(self, graph: Neighbourhoods) -> Tensor:
        """Return the output vectors, [n, outputs]."""
        # W first: the products are with far shorter vectors.
        zeroth, first, second = (weight(graph.features) for weight in self.weights)
        above: Tensor = zeroth - second + laplacian(first + 2 * laplacian(second, graph), graph)
        return above


def laplacian(values: Tensor, graph: Neighbourhoods) -> Tensor:
    """Return L̃ `values`, [n, d]; see `Chebyshev`."""
    return -normalised_sum(values, graph, self_loops=False)


class GNN(nn.Module):
    """W h_u + V · mean of h_v over the neighbours: a plain graph neural network."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.own = nn.Linear(inputs, outputs)
        self.neighbours = nn.Linear(inputs, outputs, bias=False)

    def forward(self, graph: Neighbourhoods) -> Tensor:
        """Return the output vectors, [n, outputs]."""
        values = self.neighbours(graph.features)
        source, target = graph.directed()
        degree = values.new_zeros(len(values)).index_add(0, target, values.new_ones(len(target)))
        total = torch.zeros_like(values).index_add(0, target, values[source])
        mean: Tensor = self.own(graph.features) + total / degree.clamp(min=1).unsqueeze(1)
        return mean


LAYERS: dict[str, Callable[[int, int], nn.Module]] = {
    "gcn": GCN,
    "gat": GAT,
    "chebyshev": Chebyshev,
    "gnn": GNN,
}


class NeighbourhoodEncoder(nn.Module):
    """Vector of each root from its neighbourhood: layers with a nonlinearity after each (equations 3 and 4).

    Args:
        kind: Name of the layer, one of `LAYERS`.
        inputs: Length of a node's input vector, F.
        hidden: Length of the vectors between layers.
        outputs: Length of a root's vector, f.
        layers: Number of layers, L.

    Example:
        >>> import torch
        >>> graph = Neighbourhoods(torch.randn(3, 6), torch.tensor([[0, 0], [1, 2]]), torch.tensor([0]))
        >>> NeighbourhoodEncoder("gcn", inputs=6, hidden=16, outputs=16)(graph).shape
        torch.Size([1, 16])
    """

    def __init__(self, kind: str, inputs: int, hidden: int, outputs: int, layers: int = 2) -> None:
        super().__init__()
        lengths = [inputs, *[hidden] * (layers - 1), outputs]
        self.layers = nn.ModuleList(
            LAYERS[kind](below, above) for below, above in itertools.pairwise(lengths)
        )

    def forward(self, graph: Neighbourhoods) -> Tensor:
        """Return the vectors of the roots, [r, outputs]."""
        for layer in self.layers:
            graph = replace(graph, features=functional.leaky_relu(layer(graph), SLOPE))
        return graph.features[graph.roots]
