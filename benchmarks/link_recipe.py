"""A model of links for graphs with few edges: a logistic regression on smoothed content and degrees.

The models of `pipelines.related.models` learn maps of content. With two edges a product, such maps fit the edges they
are trained on and no others. This model learns six numbers:

    log odds of u → v = β cos(h_u, h_v) + a · g_u + b · g_v + c,

where h is content averaged over the undirected graph, and g are the logarithms of a product's out-degree and
in-degree. The log odds are a dot product of a source and a target vector, and compare between sources.

The numbers are fitted to edges that are hidden from the graph, against pairs that are no edges. An edge that stays in
the graph averages its two ends with each other, which makes β too large.
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
    """Options of `fit_links`.

    Attributes:
        hops: Number of steps by which content is averaged.
        hidden: Share of the edges outside a spanning forest that is hidden in a round.
        rounds: Number of rounds; each hides other edges.
        negatives: Pairs that are no edges, for each hidden edge.
    """

    hops: int = 2
    hidden: float = 0.4
    rounds: int = 3
    negatives: int = 4


def fit_links(graph: ProductGraph, content: FloatArray, recipe: LinkRecipe, seed: int) -> DotProducts:
    """Return source and target vectors, float32 [n, d + 2], whose dot products are log odds of an edge.

    Args:
        graph: A graph whose co-purchase edges are all trained on.
        content: float32 [n, d].
        recipe: The options.
        seed: Seed of the hidden edges and of the pairs that are no edges.
    """
    generator = np.random.default_rng(seed)
    edges, known = graph.copurchase, graph.copurchase.matrix(graph.products)
    spare = np.flatnonzero(spare_edges(*edges.ends, graph.products))
    inputs, labels = [], []
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
        inputs.append(np.concatenate([cosine, degrees[first], degrees[second]], axis=1))
        labels.append(np.repeat([1, 0], [len(positive), len(negative[0])]))
    regression = LogisticRegression().fit(np.concatenate(inputs), np.concatenate(labels))
    beta, *others = regression.coef_[0].astype(np.float32)
    near, degrees = smoothed(content, edges, recipe.hops), log_degrees(edges, graph.products)
    as_source, as_target = np.split(degrees @ np.array(others, np.float32).reshape(2, 2).T, 2, axis=1)
    one = np.ones_like(as_source)
    source = np.concatenate([beta * near, as_source + np.float32(regression.intercept_[0]), one], axis=1)
    return DotProducts(
        torch.from_numpy(source), torch.from_numpy(np.concatenate([near, one, as_target], axis=1))
    )


def smoothed(content: FloatArray, edges: Edges, hops: int) -> FloatArray:
    """Return content averaged over the undirected graph with self-loops, rows of length one, [n, d].

    `hops` times D^−½ (A + Aᵀ + I) D^−½: a graph convolution without weights (Wu et al., SGC, ICML 2019).
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
    """Return log(1 + out-degree) and log(1 + in-degree) of each product, float32 [n, 2]."""
    counts = [np.bincount(end, minlength=products) for end in edges.ends]
    return np.log1p(np.stack(counts, axis=1)).astype(np.float32)
