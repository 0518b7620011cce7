"""Recall@10 of an index against exact search, over all products and under filters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinvec.errors import VerificationError
from twinvec.vectors.index import Filters, Hit, VectorIndex
from twinvec.vectors.points import FloatArray

Scores = npt.NDArray[np.float64]
DEPTH = 10


@dataclass(frozen=True)
class RecallQuery:
    """Queries under one filter, with the result of an exact search."""

    queries: FloatArray
    """[q, d] float32."""
    filters: Filters | None
    best: Scores
    """Scores of the 10 best targets of each query, [q, 10]; -inf where there are fewer."""

    def recall(self, index: VectorIndex, collection: str, ef: int) -> float:
        """Return the share of the best targets that the index finds; 1 if there are none.

        A target counts if it scores as well as the tenth best, so that ties are no misses.
        """
        present = np.isfinite(self.best)
        if not present.any():
            return 1.0
        scores = _scores(index.search(collection, self.queries, DEPTH, self.filters, ef=ef))
        # The two searches may add up a dot product in different orders.
        tenth = np.where(present, self.best, np.inf).min(axis=1, keepdims=True)
        return float((scores >= tenth - 1e-5 * np.abs(tenth)).sum() / present.sum())


@dataclass(frozen=True)
class Trial:
    """Recall of the whole collection with one quantisation, at the ef that it needs without any."""

    recall_at_10: float
    """Share of the 10 best targets that the index finds, over the sampled products."""
    least: float
    """The smallest of this share and of the shares under each filter that was tried."""
    ef: int
    code_bytes: int
    """Bytes of the codes of all target vectors."""


def search_exactly(
    index: VectorIndex,
    collection: str,
    queries: FloatArray,
    filters: Filters | None = None,
    products: int | None = None,
) -> RecallQuery:
    """Search the whole collection for the 10 best targets of each query [q, d].

    Args:
        products: Number of products that pass the filter, if it is known.

    Raises:
        VerificationError: If the search finds fewer than there are: the payload or its index is damaged.
    """
    best = _scores(index.search(collection, queries, DEPTH, filters, exact=True))
    least = int(np.isfinite(best).sum(axis=1).min())
    if products is not None and least < min(products, DEPTH):
        raise VerificationError(
            f"{collection} has {products:,} products with {filters}, and an exact search finds {least} of them",
            "publish again; if it happens again, the payload of the products does not reach Qdrant",
        )
    return RecallQuery(queries, filters, best)


def _scores(hits: list[list[Hit]]) -> Scores:
    scores = np.full((len(hits), DEPTH), -np.inf)
    for row, row_hits in enumerate(hits):
        scores[row, : len(row_hits)] = [hit.score for hit in row_hits]
    return scores
