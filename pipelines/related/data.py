"""Training data from a product graph: relations and positives."""

from __future__ import annotations

import numpy as np
import torch

from pipelines.graph.product_graph import Edges, ProductGraph
from twinvec.nn.losses.positives import Positives, rows_to_one
from twinvec.nn.sampling.blocks import Neighbours, double_cover, within_roles

COPURCHASE = "copurchase"
COVIEW = "coview"
REVERSE_COPURCHASE = "reverse_copurchase"
REVERSE_COVIEW = "reverse_coview"
SIMILAR = "similar"
EITHER = "either"


def relations(graph: ProductGraph, reverse: bool) -> dict[str, Neighbours]:
    """Return the graph's double cover, one relation for each kind of edge.

    Args:
        graph: The product graph.
        reverse: Whether the edges are also followed against their direction, as relations of their own.
    """

    def cover(edges: Edges, backward: bool = False) -> Neighbours:
        source, target = torch.from_numpy(edges.source), torch.from_numpy(edges.target)
        return double_cover(*((target, source) if backward else (source, target)), graph.products)

    cover_of = {COPURCHASE: cover(graph.copurchase), COVIEW: cover(graph.coview)}
    if reverse:
        cover_of[REVERSE_COPURCHASE] = cover(graph.copurchase, backward=True)
        cover_of[REVERSE_COVIEW] = cover(graph.coview, backward=True)
    return cover_of


def similar(graph: ProductGraph) -> Neighbours:
    """Return co-viewed pairs, whatever their direction, as neighbours within a role of the double cover's nodes."""
    pairs = graph.coview.unordered()
    return within_roles(torch.from_numpy(pairs.source), torch.from_numpy(pairs.target), graph.products)


def either(graph: ProductGraph) -> Neighbours:
    """Return the double cover of both kinds of edges as one. An edge of both kinds counts once."""
    pairs = np.concatenate(
        [edges.source * graph.products + edges.target for edges in (graph.copurchase, graph.coview)]
    )
    source, target = np.divmod(np.unique(pairs), graph.products)
    return double_cover(torch.from_numpy(source), torch.from_numpy(target), graph.products)


def edge_positives(graph: ProductGraph) -> Positives:
    """Return each product's co-purchase targets as positives with equal probability."""
    return Positives(rows_to_one(graph.copurchase.matrix(graph.products)))
