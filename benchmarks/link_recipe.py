"""A recipe for catalogues with few edges: content smoothed over the graph, and which products are linked at all.

The recipes of `pipelines.related.models` learn maps of content and rank the targets of one source. Where there are two
edges a product, such maps fit the edges they are trained on and no others. What is left to learn here are six numbers:

    log odds of u → v = β cos(h_u, h_v) + a · g_u + b · g_v + c,

h being content averaged over the undirected graph, and g the logarithms of a product's out-degree and in-degree. This
is a dot product of a source and a target vector, and its scores mean the same whoever the source is.

The numbers are found by hiding edges from the graph and telling them from pairs that are no edges; with the edge in
the graph, its two ends would have been averaged with each other, and β would be too large to be of use.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from sklearn.linear_model import LogisticRegression

from pipelines.graph.connectivity import spare_edges
from pipelines.graph.product_graph import Edges, ProductGraph
from twinvec.metrics.link_prediction import random_non_edges
from twinvec.metrics.scores import DotProducts

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LinkRecipe:
    """What can be chosen.

    Attributes:
        hops: how far content is averaged.
        hidden: share of the edges outside a spanning forest that is hidden in a round.
        rounds: how often edges are hidden, others each time.
        negatives: pairs that are no edges, for each hidden edge.
    """

    hops: int = 2
    hidden: float = 0.4
    rounds: int = 3
    negatives: int = 4


def fit_links(graph: ProductGraph, content: FloatArray, recipe: LinkRecipe, seed: int) -> DotProducts:
    """Source and target vectors, of content's length and two, whose dot products are log odds of an edge.

    Args:
        graph: all of whose co-purchase edges are trained on.
        content: float32 [n, d].
        recipe: what can be chosen.
        seed: of the edges hidden and of the pairs they are told from.
    """
    generator = np.random.default_rng(seed)
    edges, known = graph.copurchase, graph.copurchase.matrix(graph.products)
    spare = np.flatnonzero(spare_edges(*edges.ends, graph.products))
    seen, truth = [], []
    for _ in range(recipe.rounds):
        hidden = np.zeros(len(edges), bool)
        hidden[generator.permutation(spare)[: round(recipe.hidden * len(spare))]] = True
        positive = edges.only(hidden)
        negative = random_non_edges(known, recipe.negatives * len(positive), generator)
        first = np.concatenate([positive.source, negative[0]])
        second = np.concatenate([positive.target, negative[1]])
        rest = edges.only(~hidden)
        near, degrees = smoothed(content, rest, recipe.hops), log_degrees(rest, graph.products)
        cosine = (near[first] * near[second]).sum(1, keepdims=True)
        seen.append(np.concatenate([cosine, degrees[first], degrees[second]], axis=1))
        truth.append(np.repeat([1, 0], [len(positive), len(negative[0])]))
    regression = LogisticRegression().fit(np.concatenate(seen), np.concatenate(truth))
    beta, *others = regression.coef_[0].astype(np.float32)
    near, degrees = smoothed(content, edges, recipe.hops), log_degrees(edges, graph.products)
    as_source, as_target = np.split(degrees @ np.array(others, np.float32).reshape(2, 2).T, 2, axis=1)
    one = np.ones_like(as_source)
    source = np.concatenate([beta * near, as_source + np.float32(regression.intercept_[0]), one], axis=1)
    return DotProducts(
        torch.from_numpy(source), torch.from_numpy(np.concatenate([near, one, as_target], axis=1))
    )


def smoothed(content: FloatArray, edges: Edges, hops: int) -> FloatArray:
    """Content averaged over the undirected graph, each product its own neighbour, rows of length one, [n, d].

    `hops` times D^−½ (A + Aᵀ + I) D^−½, as a graph convolution without weights (Wu et al., SGC, ICML 2019).
    """
    products = len(content)
    either = edges.both_ways().matrix(products) + sp.eye_array(products, dtype=np.float32)
    root = sp.diags_array(1 / np.sqrt(np.asarray(either.sum(1)).ravel()))
    step = sp.csr_array(root @ either @ root).astype(np.float32)
    for _ in range(hops):
        content = step @ content
    unit: FloatArray = content / np.maximum(np.linalg.norm(content, axis=1, keepdims=True), 1e-12)
    return unit


def log_degrees(edges: Edges, products: int) -> FloatArray:
    """log(1 + out-degree) and log(1 + in-degree) of each product, float32 [n, 2]."""
    counts = [np.bincount(end, minlength=products) for end in edges.ends]
    return np.log1p(np.stack(counts, axis=1)).astype(np.float32)
