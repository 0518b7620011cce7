"""Random product graphs of any size, in the proportions of 6.5 M products, 9 M co-purchases and 65 M co-views."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from pipelines.graph.product_graph import Edges, ProductGraph
from twinvec.nn.losses.objective import Batch, Objective

COPURCHASES = 9 / 6.5
COVIEWS = 65 / 6.5
"""Edges a product of each kind."""


@dataclass(frozen=True)
class FirstBatches:
    """The first batches of another objective's epoch, for graphs whose whole epoch takes too long."""

    objective: Objective
    count: int

    def batches(self, generator: np.random.Generator) -> Iterator[Batch]:
        """Yield the first batches of an epoch."""
        return itertools.islice(self.objective.batches(generator), self.count)


def generate_graph(products: int, seed: int) -> ProductGraph:
    """Return a graph whose edges' targets follow a power law, as popularity does.

    All co-purchase edges are for training. Product ids are null: no benchmark reads them.
    """
    random = np.random.default_rng(seed)
    edges = [_edges(products, round(products * each), random) for each in (COPURCHASES, COVIEWS)]
    splits = [np.zeros(len(part), np.int8) for part in edges]
    return ProductGraph(pa.nulls(products, pa.string()), edges[0], edges[1], splits[0], splits[1])


def generate_content(products: int, width: int, seed: int) -> Tensor:
    """Return random features, float32 [products, width]."""
    return torch.randn(products, width, generator=torch.Generator().manual_seed(seed))


def _edges(products: int, count: int, random: np.random.Generator) -> Edges:
    source = random.integers(0, products, count)
    target = (products * random.random(count) ** 3).astype(np.int64)
    target = np.where(target == source, (target + 1) % products, target)
    counts: npt.NDArray[np.int64] = np.ones(count, np.int64)
    return Edges(source, target, counts)
