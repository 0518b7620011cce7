"""Reach of a change in a graph network, and the part of the graph that is needed to recompute it.

A layer reads a node and its neighbours, so that after k layers a change is felt within k steps of where it was made.
Everything here is exact for models that aggregate over all neighbours, as ours do when they are not trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from twinvec.nn.sampling.aggregation import sum_neighbours
from twinvec.nn.sampling.blocks import Neighbours, offsets_of
from twinvec.nn.sampling.csr import take

Graph = Mapping[str, Neighbours]


@dataclass(frozen=True)
class Part:
    """Some products of a graph, numbered anew, with all that a model of some layers needs to know about some of them.

    Attributes:
        products: Numbers of the products in the whole graph, int64 [m]; at least two, as exported models
            take no batch of one.
        graph: Relation → neighbours of the roles × m nodes; those at the rim have none.
    """

    products: Tensor
    graph: Graph

    def nodes(self, roles: int, total: int) -> Tensor:
        """Return the numbers of their nodes in a graph of `total` products, role after role, int64 [roles × m]."""
        return torch.cat([self.products + role * total for role in range(roles)])


def rows_that_differ(before: Tensor, after: Tensor, place: Tensor) -> Tensor:
    """Return a mask of the rows that are new or different, bool [n].

    Args:
        before: [m, d].
        after: [n, d].
        place: Row of each in `before`, −1 if it was not there, int64 [n].
    """
    if before.shape[1] != after.shape[1]:
        return torch.ones(len(after), dtype=torch.bool)
    existed = place >= 0
    differs = ~existed
    differs[existed] = (before[place[existed]] != after[existed]).any(1)
    return differs


def touched(before: Graph, after: Graph, place: Tensor) -> Tensor:
    """Return the nodes that have gained or lost a neighbour by any relation, bool [n].

    Args:
        before: Neighbours of the nodes as they were.
        after: Neighbours of the n nodes as they are, by the same relations.
        place: Number that each node of `before` has now, −1 if it is gone, int64.
    """
    nodes = next(iter(after.values())).rows
    nodes_touched = torch.zeros(nodes, dtype=torch.bool)
    for name, now in after.items():
        row, neighbour = place[_rows(before[name])], place[before[name].positions]
        nodes_touched[row[(row >= 0) & (neighbour < 0)]] = True
        stayed = (row >= 0) & (neighbour >= 0)
        edges, times = torch.unique(
            torch.cat([row[stayed] * nodes + neighbour[stayed], _rows(now) * nodes + now.positions]),
            return_counts=True,
        )
        nodes_touched[edges[times == 1] // nodes] = True
    return nodes_touched


def reached(changed: Tensor, neighbours_changed: Tensor, graph: Graph, layers: int) -> Tensor:
    """Return the nodes whose vectors above `layers` layers may differ, bool [n].

    Args:
        changed: Nodes whose features differ, bool [n].
        neighbours_changed: Nodes that have other neighbours, bool [n].
        graph: Neighbours as they are now.
        layers: Number of layers.
    """
    nodes = changed
    for _ in range(layers):
        values = nodes.float().unsqueeze(1)
        with torch.no_grad():
            near = [sum_neighbours(values, neighbours)[:, 0] > 0 for neighbours in graph.values()]
        nodes = torch.stack([nodes | neighbours_changed, *near]).any(0)
    return nodes


def part_around(selected: Tensor, graph: Graph, layers: int, roles: int) -> Part:
    """Return the part of a graph in which a model of `layers` layers gives some products their vectors in the whole.

    Args:
        selected: Products, bool [n]; at least one.
        graph: Neighbours of the roles × n nodes.
        layers: Number of layers.
        roles: Nodes of a product: 2 in the double cover, else 1.
    """
    inner = selected
    for _ in range(layers - 1):
        inner = inner | _neighbours_of(inner, graph, roles)
    needed = inner | _neighbours_of(inner, graph, roles)
    if int(needed.sum()) < 2:
        needed[:2] = True
    products = torch.nonzero(needed)[:, 0]
    place = torch.full((len(selected),), -1)
    place[products] = torch.arange(len(products))
    rows = torch.cat([products + role * len(selected) for role in range(roles)])
    whole = inner[products].repeat(roles)
    local = {}
    for name, neighbours in graph.items():
        degrees = torch.where(whole, neighbours.degrees()[rows], 0)
        positions = take(neighbours, rows[whole], -1, None).positions
        product, role = positions % len(selected), positions // len(selected)
        local[name] = Neighbours(offsets_of(degrees), place[product] + role * len(products))
    return Part(products, local)


def _neighbours_of(products: Tensor, graph: Graph, roles: int) -> Tensor:
    """Return the products that are a neighbour of one of these, in whichever role, bool [n]."""
    mask = torch.zeros_like(products)
    nodes = products.repeat(roles)
    for neighbours in graph.values():
        positions = neighbours.positions[torch.repeat_interleave(nodes, neighbours.degrees())]
        mask[positions % len(products)] = True
    return mask


def _rows(neighbours: Neighbours) -> Tensor:
    """Return the row that each position belongs to, int64 [edges]."""
    return torch.repeat_interleave(torch.arange(neighbours.rows), neighbours.degrees())
