"""Overlap of the neighbours that the vectors of two versions find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Nearest:
    """The best k candidates so far, in no order.

    Attributes:
        scores: Scores of the candidates, float32 [queries, k], minus infinity where there is none yet.
        positions: Positions of the candidates, int64 [queries, k], -1 where there is none yet.
    """

    scores: Floats
    positions: Integers

    @classmethod
    def none(cls, queries: int, k: int) -> Nearest:
        """Return the state before the first candidate."""
        return cls(np.full((queries, k), -np.inf, np.float32), np.full((queries, k), -1))

    def among(self, scores: Floats, start: int, sampled: Integers) -> Nearest:
        """Return the best k after some more candidates.

        Args:
            scores: Scores of each query and candidate, float32 [queries, m].
            start: Position of the first of these candidates.
            sampled: Number of the query that a candidate is, int64 [m], -1 if none: no query is its own neighbour.
        """
        scores = scores.copy()
        (itself,) = np.nonzero(sampled >= 0)
        scores[sampled[itself], itself] = -np.inf
        queries, k = self.scores.shape
        numbers = np.broadcast_to(np.arange(start, start + scores.shape[1]), scores.shape)
        everything = np.concatenate([self.scores, scores], axis=1)
        positions = np.concatenate([self.positions, np.where(np.isfinite(scores), numbers, -1)], axis=1)
        best = np.argpartition(-everything, k - 1, axis=1)[:, :k]
        rows = np.arange(queries)[:, None]
        return Nearest(everything[rows, best], positions[rows, best])


def shared_neighbours(one: Nearest, other: Nearest) -> Integers:
    """Return how many candidates of each query both lists share, int64 [queries]."""
    same = (one.positions[:, :, None] == other.positions[:, None, :]) & (one.positions[:, :, None] >= 0)
    count: Integers = same.any(axis=2).sum(axis=1)
    return count


def jaccard(one: Nearest, other: Nearest) -> Doubles:
    """Return the Jaccard index of each query's two lists, float64 [queries]; 0 if both are empty."""
    both = shared_neighbours(one, other)
    listed = (one.positions >= 0).sum(axis=1) + (other.positions >= 0).sum(axis=1)
    result: Doubles = both / np.maximum(listed - both, 1)
    return result


def recall(retrieved: Nearest, relevant: Nearest) -> float:
    """Return the mean share of each query's relevant candidates that are retrieved."""
    counts = (relevant.positions >= 0).sum(axis=1)
    return float(np.mean(shared_neighbours(retrieved, relevant) / np.maximum(counts, 1)))


def own_ranks(scores: Floats) -> Doubles:
    """Return the rank, from 1, of candidate i for query i; equal scores share the mean of their ranks.

    Args:
        scores: float32 [queries, candidates], with at least as many candidates as queries.
    """
    own = np.diagonal(scores)[:, None]
    ranks: Doubles = (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) + 1) / 2
    return ranks


def unit(vectors: Floats) -> Floats:
    """Return the vectors [n, d] scaled to length one; a zero vector stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False)
