"""Baselines that walk the graph: personalised PageRank, its factorisation, and directed random walks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from pipelines.baselines.problem import Given
from twinvec.metrics.scores import DotProducts, SparseScores
from twinvec.nn.pagerank import factorise, personalised_pagerank, walk_matrix

RESTART, STEPS, LEAST = 0.15, 10, 1e-5
# Most products that are near one.
KEPT = 2000
# Walks from each product in an epoch, steps of a walk, how far apart a pair is, epochs.
WALKS, LENGTH, WINDOW, EPOCHS = 5, 10, 3, 5


def pagerank(given: Given) -> SparseScores:
    """Personalised PageRank over co-purchases, walked in both directions."""
    return SparseScores(_pagerank(given, coview_weight=0))


def pagerank_with_coviews(given: Given) -> SparseScores:
    """Personalised PageRank over co-purchases and co-views alike, walked in both directions."""
    return SparseScores(_pagerank(given, coview_weight=1))


def strap(given: Given) -> DotProducts:
    """PageRank plus the edge in the other direction, its logarithm factorised (STRAP, Yin & Wei, KDD 2019)."""
    nearness = _pagerank(given, coview_weight=0)
    directed = given.copurchases()
    # As near as PageRank's largest: an edge that leads back.
    either = sp.csr_array(nearness + nearness.max() * directed.T).astype(np.float32)
    source, target = factorise(either, given.dimension, LEAST, given.seed)
    return DotProducts(torch.from_numpy(source), torch.from_numpy(target))


def directed_walks(given: Given) -> DotProducts:
    """Skip-gram over walks along the edges: what comes after a product within a window is a target of it.

    As in APP (Zhou et al., AAAI 2017) and NERD (Khosla et al., ECML 2019), a product has one vector for each role.
    gensim has no roles: a product is two words to it, and every pair of a source and a target a sentence. It learns
    the pair in both orders, of which that from the source's input vector to the target's output vector is used.
    """
    from gensim.models import Word2Vec  # an optional dependency

    products = given.graph.products
    model = Word2Vec(
        WalkedPairs(given),
        vector_size=given.dimension,
        window=1,
        min_count=1,
        sg=1,
        negative=10,
        epochs=EPOCHS,
        seed=given.seed,
        workers=1,  # more would make it another model each time
    )
    source = np.zeros((products, given.dimension), np.float32)
    target = np.zeros((products, given.dimension), np.float32)
    words = np.array(model.wv.index_to_key)
    as_source = words < products
    source[words[as_source]] = model.wv.vectors[as_source]
    target[words[~as_source] - products] = model.syn1neg[~as_source]
    return DotProducts(torch.from_numpy(source), torch.from_numpy(target))


@dataclass(frozen=True)
class WalkedPairs:
    """Pairs of random walks from every product, walked anew, and the same, each time they are iterated over."""

    given: Given

    def __iter__(self) -> Iterator[list[int]]:
        """Source u as u, target v as n + v."""
        edges, products = self.given.copurchases(), self.given.graph.products
        random = np.random.default_rng(self.given.seed)
        for _ in range(WALKS):
            walks = walk(edges, random.permutation(products), LENGTH, random)
            for step in range(1, WINDOW + 1):
                source, target = walks[:, :-step].ravel(), walks[:, step:].ravel()
                there = target >= 0
                yield from np.stack([source[there], target[there] + products], axis=1).tolist()


def walk(
    edges: sp.csr_array, starts: npt.NDArray[np.int64], length: int, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Walks from each start, each step to a random target, int64 [starts, length + 1]; −1 where there was none."""
    walks = np.full((len(starts), length + 1), -1)
    walks[:, 0] = starts
    degree = np.diff(edges.indptr)
    for step in range(length):
        going = np.flatnonzero(walks[:, step] >= 0)
        here = walks[going, step]
        going, here = going[degree[here] > 0], here[degree[here] > 0]
        chosen = edges.indptr[here] + (random.random(len(here)) * degree[here]).astype(np.int64)
        walks[going, step + 1] = edges.indices[chosen]
    return walks


def _pagerank(given: Given, coview_weight: float) -> sp.csr_array:
    coview = given.graph.coview.matrix(given.graph.products)
    weights = walk_matrix(given.copurchases(), coview, coview_weight)
    return personalised_pagerank(weights, RESTART, STEPS, LEAST, KEPT)
