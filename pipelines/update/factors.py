"""Proximity factors of products that the model was not trained on, from those it was (STRAP folded in).

The factors are of one singular value decomposition of M = log(1 + proximity / least) over the products that were
trained on: M ≈ S Tᵀ with S = U √Σ and T = V √Σ. They are not made anew: other products would turn the whole space,
and the model would have to be trained again. A product that came later has a row m in the M of the present graph, and
m T Σ⁻¹ is what S would hold for it; a column, and likewise for T. Those that were trained on keep theirs, whatever
became of their edges: that reaches the vectors through the layers alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from pipelines.graph.product_graph import ProductGraph
from twinvec.nn.pagerank import personalised_pagerank, walk_matrix
from twinvec.nn.proximity import target_share
from twinvec.settings.related_models import ProximitySettings

Floats = npt.NDArray[np.float32]


def fold_in(
    graph: ProductGraph, place: npt.NDArray[np.int64], trained: Floats, options: ProximitySettings
) -> Tensor:
    """Return factors of all products of a graph, float32 [2n, p], sources first.

    Args:
        graph: Graph of n products.
        place: Number of each of them among the k products that were trained on, −1 if it was not, int64 [n].
        trained: Factors of these, float32 [2k, p].
        options: Settings of the proximity, as in training, with the `coview_weight` that was chosen there.
    """
    source, target = np.split(trained, 2)
    old, new = np.flatnonzero(place >= 0), np.flatnonzero(place < 0)
    factors = np.zeros((2, len(place), trained.shape[1]), np.float32)
    factors[0, old], factors[1, old] = source[place[old]], target[place[old]]
    if trained.shape[1] and len(new):
        forward, backward = _rows(graph, new, options)
        scale = np.square(target).sum(0)  # Σ; columns that the rank did not fill are zero
        inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
        factors[0, new] = (forward @ np.where((place >= 0)[:, None], factors[1], 0)) * inverse
        factors[1, new] = (backward @ np.where((place >= 0)[:, None], factors[0], 0)) * inverse
    return torch.from_numpy(factors.reshape(2 * len(place), -1))


def _rows(
    graph: ProductGraph, nodes: npt.NDArray[np.int64], options: ProximitySettings
) -> tuple[sp.csr_array, sp.csr_array]:
    """Return rows and columns of M for some products, both as rows, float32 [nodes, n]."""
    if options.coview_weight is None:
        raise ValueError("the weight of co-views is that of the training, which has to be settled")
    copurchase = graph.copurchase.matrix(graph.products)
    weights = walk_matrix(copurchase, graph.coview.matrix(graph.products), options.coview_weight)
    nearness = personalised_pagerank(
        weights, options.restart, options.steps, options.least, options.keep, nodes=nodes
    )
    share = target_share(copurchase, weights)
    # A walk on a graph without directions is as likely as its reverse, but for the degrees of its ends.
    degree = np.maximum(np.asarray(weights.sum(1)).ravel(), 1e-12).astype(np.float32)
    back = sp.diags_array(degree[nodes] * share[nodes]) @ nearness @ sp.diags_array(1 / degree)
    rows = [sp.csr_array(nearness @ sp.diags_array(share)), sp.csr_array(back)]
    for row in rows:
        row.data = np.log1p(row.data / options.least).astype(np.float32)
    return rows[0], rows[1]
