"""Graph layers over neighbourhoods against dense matrices, one neighbourhood at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from twinvec.nn.layers.neighbourhood import (
    GAT,
    GCN,
    GNN,
    LAYERS,
    Chebyshev,
    NeighbourhoodEncoder,
    Neighbourhoods,
)


def random_parts(seed: int) -> list[tuple[Tensor, Tensor]]:
    """Features and dense adjacency matrices of some neighbourhoods, one of a node alone."""
    draw = np.random.default_rng(seed)
    parts = []
    for size in (1, 5, 9):
        edges = np.triu(draw.random((size, size)) < 0.4, 1)
        edges[0, 1:] = edges[0, 1:] | (draw.random(size - 1) < 0.5)
        adjacency = torch.from_numpy((edges | edges.T).astype(np.float32))
        parts.append((torch.from_numpy(draw.normal(size=(size, 7)).astype(np.float32)), adjacency))
    return parts


def joined(parts: list[tuple[Tensor, Tensor]]) -> Neighbourhoods:
    first, edges, roots = 0, [], []
    for features, adjacency in parts:
        edges.append(torch.triu(adjacency).nonzero().T + first)
        roots.append(first)
        first += len(features)
    return Neighbourhoods(
        torch.cat([features for features, _ in parts]), torch.cat(edges, 1), torch.tensor(roots)
    )


def normalised(adjacency: Tensor) -> Tensor:
    degree = adjacency.sum(1).clamp(min=1)
    return adjacency / (degree[:, None] * degree[None, :]).sqrt()


def dense_gcn(layer: GCN, h: Tensor, adjacency: Tensor) -> Tensor:
    matrix = adjacency + torch.eye(len(h)) if layer.self_loops else adjacency
    return normalised(matrix) @ h @ layer.weight.weight.T + layer.weight.bias


def dense_gat(layer: GAT, h: Tensor, adjacency: Tensor) -> Tensor:
    values = h @ layer.weight.weight.T
    out = []
    for node in range(len(h)):
        near = [node, *adjacency[node].nonzero().flatten().tolist()]
        scores = torch.stack(
            [
                torch.nn.functional.leaky_relu(
                    layer.of_own[0] @ values[node] + layer.of_neighbour[0] @ values[other], 0.2
                )
                for other in near
            ]
        )
        out.append(scores.softmax(0) @ values[near])
    return torch.stack(out) + layer.weight.bias


def dense_chebyshev(layer: Chebyshev, h: Tensor, adjacency: Tensor) -> Tensor:
    scaled = -normalised(adjacency)
    terms = [h, scaled @ h, 2 * scaled @ scaled @ h - h]
    return sum(
        (weight(term) for weight, term in zip(layer.weights, terms, strict=True)), torch.zeros(len(h), 4)
    )


def dense_gnn(layer: GNN, h: Tensor, adjacency: Tensor) -> Tensor:
    mean = adjacency @ h / adjacency.sum(1, keepdim=True).clamp(min=1)
    return h @ layer.own.weight.T + layer.own.bias + mean @ layer.neighbours.weight.T


DENSE = {"gcn": dense_gcn, "gat": dense_gat, "chebyshev": dense_chebyshev, "gnn": dense_gnn}


@pytest.mark.parametrize("kind", sorted(LAYERS))
@pytest.mark.parametrize("seed", [0, 1])
def test_a_layer_is_its_dense_equation(kind: str, seed: int) -> None:
    torch.manual_seed(seed)
    layer, parts = LAYERS[kind](7, 4), random_parts(seed)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    expected = torch.cat([DENSE[kind](layer, *part) for part in parts])  # type: ignore[operator]
    torch.testing.assert_close(layer(joined(parts)), expected, rtol=1e-4, atol=1e-4)


def test_the_literal_equation_3_has_no_self_loops() -> None:
    torch.manual_seed(2)
    layer, parts = GCN(7, 4, self_loops=False), random_parts(2)
    expected = torch.cat([dense_gcn(layer, *part) for part in parts])
    torch.testing.assert_close(layer(joined(parts)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(LAYERS))
def test_a_vector_of_a_root_does_not_depend_on_what_else_is_in_the_batch(kind: str) -> None:
    torch.manual_seed(3)
    encoder, parts = NeighbourhoodEncoder(kind, inputs=7, hidden=5, outputs=3), random_parts(3)
    together = encoder(joined(parts))
    alone = torch.cat([encoder(joined([part])) for part in parts])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
