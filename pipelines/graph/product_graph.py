"""The product graph in memory: numbered products, and co-purchase and co-view edges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


class Split(IntEnum):
    """Side of the split that an edge is on (MERLIN 4.1.4)."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


@dataclass(frozen=True)
class Edges:
    """Directed edges between numbered products.

    Attributes:
        source: Source product of each edge, int64 [edges].
        target: Target product of each edge, int64 [edges].
        count: Number of observations of each edge, int64 [edges].
        weight: Weight of each edge, over 0 and at most 1, float32 [edges]; None if all weigh 1, as observed edges do.
    """

    source: IntArray
    target: IntArray
    count: IntArray
    weight: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.source)

    @property
    def ends(self) -> tuple[IntArray, IntArray]:
        """Sources and targets, int64 [edges] each."""
        return self.source, self.target

    def only(self, chosen: npt.NDArray[np.bool_] | IntArray) -> Edges:
        """Return the edges that are `chosen`, a mask bool [edges] or positions int64 [chosen]."""
        weight = None if self.weight is None else self.weight[chosen]
        return Edges(self.source[chosen], self.target[chosen], self.count[chosen], weight)

    def evenly(self, most: int) -> Edges:
        """Return at most `most` of the edges, evenly spaced from the first to the last."""
        return self.only(np.unique(np.linspace(0, len(self) - 1, min(most, len(self)), dtype=np.int64)))

    def unordered(self) -> Edges:
        """Return each pair of products once, the lower number first, with the counts of both directions added.

        Each pair weighs 1.
        """
        size = int(max(self.source.max(initial=-1), self.target.max(initial=-1))) + 1
        both = self.both_ways()
        matrix = sp.csr_array((both.count, both.ends), shape=(size, size))
        pairs = sp.triu(matrix, k=1).tocoo()
        first, second = (end.astype(np.int64) for end in pairs.coords)
        return Edges(first, second, pairs.data)

    def both_ways(self) -> Edges:
        """Return these edges and their reverses."""
        return Edges(
            np.concatenate([self.source, self.target]),
            np.concatenate([self.target, self.source]),
            np.concatenate([self.count, self.count]),
            None if self.weight is None else np.concatenate([self.weight, self.weight]),
        )

    def matrix(self, products: int) -> sp.csr_array:
        """Return the adjacency matrix, float32 [products, products], with the weight of each edge."""
        weight = np.ones(len(self), np.float32) if self.weight is None else self.weight
        # SciPy keeps the integers that it is given; all that is computed from the graph has 32 bits then.
        source, target = (each.astype(np.int32) for each in self.ends)
        matrix = sp.csr_array((weight, (source, target)), shape=(products, products))
        np.minimum(matrix.data, 1, out=matrix.data)  # an edge may come twice
        return matrix


@dataclass(frozen=True)
class ProductGraph:
    """Products numbered from 0 in the order of their ids, and the edges between them.

    Attributes:
        product_ids: Ids of the products, strings [products], sorted.
        copurchase: Co-purchase edges.
        coview: Co-view edges.
        split: `Split` of each co-purchase edge, int8 [edges].
        coview_split: `Split` of each co-view edge, int8 [edges]; both directions of a pair are on one side.
    """

    product_ids: pa.StringArray
    copurchase: Edges
    coview: Edges
    split: npt.NDArray[np.int8]
    coview_split: npt.NDArray[np.int8]

    @property
    def products(self) -> int:
        """Number of products."""
        return len(self.product_ids)

    def edges(self, *splits: Split) -> Edges:
        """Return the co-purchase edges of some splits."""
        return self.copurchase.only(np.isin(self.split, splits))

    def coviews(self, *splits: Split) -> Edges:
        """Return the co-view pairs of some splits, each once."""
        return self.coview.only(np.isin(self.coview_split, splits)).unordered()

    def training_part(self) -> ProductGraph:
        """Return the graph without the co-purchase edges held out for validation and test."""
        edges = self.edges(Split.TRAIN)
        return replace(self, copurchase=edges, split=np.zeros(len(edges), np.int8))

    def without_coviews(self) -> ProductGraph:
        """Return the graph of co-purchases alone."""
        none = np.zeros(0, np.int64)
        return replace(self, coview=self.coview.only(none), coview_split=self.coview_split[none])


def load_graph(folder: Path) -> ProductGraph:
    """Read the graph that the graph pipeline wrote into `folder`."""
    copurchase, coview = (pq.read_table(folder / f"{name}.parquet") for name in ("copurchase", "coview"))
    return ProductGraph(
        product_ids=pq.read_table(folder / "nodes.parquet")["product_id"].combine_chunks(),
        copurchase=_edges(copurchase),
        coview=_edges(coview),
        split=copurchase["split"].to_numpy(),
        coview_split=coview["split"].to_numpy(),
    )


def _edges(table: pa.Table) -> Edges:
    source, target, count = (
        table[name].to_numpy().astype(np.int64) for name in ("source", "target", "count")
    )
    lent = "weight" in table.column_names
    return Edges(source, target, count, table["weight"].to_numpy().astype(np.float32) if lent else None)
