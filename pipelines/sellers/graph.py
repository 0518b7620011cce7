"""The graph of sellers, products and categories as numbered nodes, which WAML reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
import torch

from pipelines.graph.product_graph import Split
from pipelines.sellers.reduction import Reduced
from twinvec import draws
from twinvec.nn.sampling.blocks import Neighbours, from_edges

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SellerGraph:
    """A graph whose nodes are numbered: all sellers, then all products, then all categories.

    Attributes:
        ids: Ids of the nodes, strings [nodes].
        sellers: Number of sellers.
        products: Number of products.
        categories: Number of categories.
        candidate: Whether each node is a product that may be recommended, bool [nodes].
        offers: Nodes of the seller and of the product of each offer, int64 [offers] each.
        split: `Split` of each offer, int8 [offers].
        others: Ends of all other edges, product-product and product-category, int64 [edges] each.
    """

    ids: pa.StringArray
    sellers: int
    products: int
    categories: int
    candidate: npt.NDArray[np.bool_]
    offers: tuple[IntArray, IntArray]
    split: npt.NDArray[np.int8]
    others: tuple[IntArray, IntArray]

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.ids)

    @property
    def types(self) -> IntArray:
        """Type of each node, int64 [nodes]: 0 for a seller, 1 for a product, 2 for a category."""
        return np.repeat(np.arange(3), [self.sellers, self.products, self.categories])

    def offers_of(self, *splits: Split) -> tuple[IntArray, IntArray]:
        """Return the nodes of the seller and of the product of the offers of some splits, int64 each."""
        chosen = np.isin(self.split, splits)
        return self.offers[0][chosen], self.offers[1][chosen]

    def neighbours(self, *splits: Split) -> Neighbours:
        """Return the neighbours of all nodes with the offers of some splits as edges; edges are undirected."""
        one, other = (
            torch.from_numpy(np.concatenate(ends))
            for ends in zip(self.offers_of(*splits), self.others, strict=True)
        )
        return from_edges(torch.cat([one, other]), torch.cat([other, one]), self.nodes)

    def offer_matrix(self, *splits: Split) -> sp.csr_array:
        """Return the offers of some splits as a matrix of sellers by products, float32 [nodes, nodes]."""
        ends = self.offers_of(*splits)
        return sp.csr_array((np.ones(len(ends[0]), np.float32), ends), shape=(self.nodes, self.nodes))

    def within(self, nodes: npt.NDArray[np.bool_]) -> SellerGraph:
        """Return the graph with the offers and candidates of some nodes alone, bool [nodes]; numbers stay."""
        chosen = nodes[self.offers[0]] & nodes[self.offers[1]]
        return replace(
            self,
            candidate=self.candidate & nodes,
            offers=(self.offers[0][chosen], self.offers[1][chosen]),
            split=self.split[chosen],
        )

    def offer_counts(self, *splits: Split) -> IntArray:
        """Return the number of offers of each node, seller or product, int64 [nodes]."""
        return np.bincount(np.concatenate(self.offers_of(*splits)), minlength=self.nodes)


def hash_ids(ids: pa.StringArray) -> IntArray:
    """Return a hash of 64 bits of each id, int64 [n]; the same on every machine."""
    values: npt.NDArray[np.object_] = ids.to_numpy(zero_copy_only=False)
    return np.asarray(pd.util.hash_array(values)).view(np.int64)


def build_graph(reduced: Reduced, validation: float, test: float, seed: int) -> SellerGraph:
    """Number the nodes, and hold out offers of candidates.

    Which offers are held out depends on their ids and the seed alone, so that a later snapshot holds out the same.

    Args:
        reduced: The reduced graph.
        validation: Share of the offers of candidates for validation.
        test: Share of the offers of candidates for the test.
        seed: Seed of the split.
    """
    ids = pa.concat_arrays([reduced.sellers, reduced.products, reduced.categories])
    first_product = len(reduced.sellers)
    first_category = first_product + len(reduced.products)
    candidate = np.zeros(len(ids), np.bool_)
    candidate[first_product:first_category] = reduced.candidate
    offers = (reduced.offers[0], reduced.offers[1] + first_product)
    links, members = reduced.links, reduced.members
    others = (
        np.concatenate([links[0], members[0]]) + first_product,
        np.concatenate([links[1] + first_product, members[1] + first_category]),
    )
    hashes = hash_ids(ids)
    place = draws.uniform(seed, "offer split", hashes[offers[0]], hashes[offers[1]])
    held_out = np.select(
        [place < test, place < test + validation], [Split.TEST, Split.VALIDATION], Split.TRAIN
    )
    return SellerGraph(
        ids=ids,
        sellers=len(reduced.sellers),
        products=len(reduced.products),
        categories=len(reduced.categories),
        candidate=candidate,
        offers=offers,
        split=np.where(candidate[offers[1]], held_out, Split.TRAIN).astype(np.int8),
        others=others,
    )
