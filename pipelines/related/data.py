"""From a product graph to what the dual-embedding model trains on: relations, positives, factors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from pipelines.graph.product_graph import Edges, ProductGraph
from twinvec.nn.pagerank import directed_nearness, factorise
from twinvec.nn.sampling.blocks import Neighbours, double_cover, within_roles

COPURCHASE = "copurchase"
COVIEW = "coview"
REVERSE_COPURCHASE = "reverse_copurchase"
REVERSE_COVIEW = "reverse_coview"
SIMILAR = "similar"
EITHER = "either"


@dataclass(frozen=True)
class Positives:
    """For each product, the products it is to be near to as a source, and how much.

    Attributes:
        matrix: float32 [n, n], each row summing to one or to zero; rows with entries are trained on.
    """

    matrix: sp.csr_array

    @cached_property
    def running(self) -> npt.NDArray[np.float64]:
        """Running sum of the entries, row after row: it rises by one a row, which makes drawing a search."""
        return np.cumsum(self.matrix.data, dtype=np.float64)

    def popularity(self) -> Tensor:
        """Chance that a positive of a random source is this product, float32 [n]."""
        total = np.asarray(self.matrix.sum(0)).ravel()
        return torch.from_numpy((total / max(total.sum(), 1e-12)).astype(np.float32))

    def sources(self) -> Tensor:
        """Products that have positives, int64."""
        return torch.from_numpy(np.flatnonzero(np.diff(self.matrix.indptr)).astype(np.int64))

    def draw(self, sources: Tensor, count: int, generator: np.random.Generator) -> Tensor:
        """`count` positives of each source, with replacement, as likely as the matrix says, int64 [sources, count]."""
        rows = sources.numpy()
        first, last = self.matrix.indptr[rows], self.matrix.indptr[rows + 1]
        before = np.where(first > 0, self.running[first - 1], 0.0)
        total = self.running[last - 1] - before
        wanted = before[:, None] + generator.random((len(rows), count)) * total[:, None]
        place = np.clip(
            np.searchsorted(self.running, wanted, side="right"), first[:, None], last[:, None] - 1
        )
        return torch.from_numpy(self.matrix.indices[place].astype(np.int64))


def relations(graph: ProductGraph, reverse: bool) -> dict[str, Neighbours]:
    """The graph's double cover, a relation for each kind of edge.

    Args:
        graph: the product graph.
        reverse: whether the edges are also followed against their direction, as relations of their own.
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
    """Co-viewed pairs, whichever way they were directed, as neighbours within a role of the double cover's nodes."""
    pairs = graph.coview.unordered()
    return within_roles(torch.from_numpy(pairs.source), torch.from_numpy(pairs.target), graph.products)


def either(graph: ProductGraph) -> Neighbours:
    """The double cover of both kinds of edges at once; an edge of both kinds counts once."""
    pairs = np.concatenate(
        [edges.source * graph.products + edges.target for edges in (graph.copurchase, graph.coview)]
    )
    source, target = np.divmod(np.unique(pairs), graph.products)
    return double_cover(torch.from_numpy(source), torch.from_numpy(target), graph.products)


def edge_positives(graph: ProductGraph) -> Positives:
    """Each product's co-purchase targets, all alike."""
    return Positives(_rows_to_one(graph.copurchase.matrix(graph.products)))


@dataclass(frozen=True)
class Proximity:
    """Nearness of products in the graph, directed by how much each is a target.

    Attributes:
        matrix: float32 [n, n], each row summing to one or to zero.
        factors: of each node of the double cover, float32 [2n, p].
    """

    matrix: sp.csr_array
    factors: Tensor


def proximity(
    graph: ProductGraph,
    dimension: int,
    coview_weight: float,
    restart: float,
    steps: int,
    least: float,
    keep: int,
    seed: int,
) -> Proximity:
    """Personalised PageRank over both kinds of edges, and its factors; see `twinvec.nn.pagerank`."""
    copurchase, coview = (edges.matrix(graph.products) for edges in (graph.copurchase, graph.coview))
    directed = directed_nearness(copurchase, coview, coview_weight, restart, steps, least, keep)
    source, target = factorise(directed, dimension, least, seed)
    return Proximity(_rows_to_one(directed), torch.from_numpy(np.concatenate([source, target])))


def blend(edges: Positives, nearness: sp.csr_array, share: float) -> Positives:
    """Positives of which `share` are drawn from `nearness` and the rest from the edges themselves."""
    return Positives(_rows_to_one(sp.csr_array((1 - share) * edges.matrix + share * nearness)))


def _rows_to_one(matrix: sp.csr_array) -> sp.csr_array:
    total = np.asarray(matrix.sum(1)).ravel()
    scaled = sp.csr_array(sp.diags_array(1 / np.where(total > 0, total, 1)) @ matrix).astype(np.float32)
    scaled.sort_indices()
    return scaled
