"""Baselines by walks on the graph: personalised PageRank, its factorisation, and directed random walks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from pipelines.baselines.problem import RankingProblem
from twinvec.metrics.scores import DotProducts, SparseScores
from twinvec.nn.factorisation import factorise
from twinvec.nn.pagerank import personalised_pagerank, walk_matrix

RESTART, STEPS, LEAST = 0.15, 10, 1e-5
# Largest number of products near one that PageRank keeps.
KEPT = 2000
# Walks from each product in an epoch, steps of a walk, largest distance of a pair on it, epochs.
WALKS, LENGTH, WINDOW, EPOCHS = 5, 10, 3, 5


def pagerank(problem: RankingProblem) -> SparseScores:
    """Personalised PageRank over co-purchases, walked in both directions."""
    return SparseScores(_pagerank(problem, coview_weight=0))


def pagerank_with_coviews(problem: RankingProblem) -> SparseScores:
    """Personalised PageRank over co-purchases and co-views alike, walked in both directions."""
    return SparseScores(_pagerank(problem, coview_weight=1))


def strap(problem: RankingProblem) -> DotProducts:
    """PageRank plus the edge in the other direction, its logarithm factorised (STRAP, Yin & Wei, KDD 2019)."""
    nearness = _pagerank(problem, coview_weight=0)
    directed = problem.copurchases()
    # An edge in the other direction counts as much as the largest PageRank.
    either = sp.csr_array(nearness + nearness.max() * directed.T).astype(np.float32)
    source, target = np.split(factorise(either, problem.dimension, LEAST, problem.seed), 2)
    return DotProducts(torch.from_numpy(source), torch.from_numpy(target))


def directed_walks(problem: RankingProblem) -> DotProducts:
    """Skip-gram over walks along the edges: what comes after a product within a window is a target of it.

    As in APP (Zhou et al., AAAI 2017) and NERD (Khosla et al., ECML 2019), a product has one vector for each role.
    gensim has no roles: here a product is two words, and every pair of a source and a target is a sentence. gensim
    learns a pair in both orders; the input vector of the source and the output vector of the target are used.
    """
    from gensim.models import Word2Vec  # an optional dependency

    products = problem.graph.products
    model = Word2Vec(
        WalkedPairs(problem),
        vector_size=problem.dimension,
        window=1,
        min_count=1,
        sg=1,
        negative=10,
        epochs=EPOCHS,
        seed=problem.seed,
        workers=1,  # with more, each training gives another model
    )
    source = np.zeros((products, problem.dimension), np.float32)
    target = np.zeros((products, problem.dimension), np.float32)
    words = np.array(model.wv.index_to_key)
    as_source = words < products
    source[words[as_source]] = model.wv.vectors[as_source]
    target[words[~as_source] - products] = model.syn1neg[~as_source]
    return DotProducts(torch.from_numpy(source), torch.from_numpy(target))


@dataclass(frozen=True)
class WalkedPairs:
    """Pairs of products on random walks from every product; each iteration walks anew and gives the same pairs."""

    problem: RankingProblem

    def __iter__(self) -> Iterator[list[int]]:
        """Yield pairs: source u as the number u, target v as n + v."""
        edges, products = self.problem.copurchases(), self.problem.graph.products
        random = np.random.default_rng(self.problem.seed)
        for _ in range(WALKS):
            walks = walk(edges, random.permutation(products), LENGTH, random)
            for step in range(1, WINDOW + 1):
                source, target = walks[:, :-step].ravel(), walks[:, step:].ravel()
                present = target >= 0
                yield from np.stack([source[present], target[present] + products], axis=1).tolist()


def walk(
    edges: sp.csr_array, starts: npt.NDArray[np.int64], length: int, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return a walk from each start, every step to a random target, int64 [starts, length + 1]; −1 after its end."""
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


def _pagerank(problem: RankingProblem, coview_weight: float) -> sp.csr_array:
    coview = problem.graph.coview.matrix(problem.graph.products)
    weights = walk_matrix(problem.copurchases(), coview, coview_weight)
    return personalised_pagerank(weights, RESTART, STEPS, LEAST, KEPT)
