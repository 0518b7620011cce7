"""The baselines by name: what a table has a row for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from pipelines.baselines import counting, factorising, magnet, walking
from pipelines.baselines.problem import Given
from twinvec.metrics.scores import DotProducts, Scores


def cosine(given: Given, space: str) -> DotProducts | None:
    """Similarity of content alone; None if no product has any."""
    vectors = given.content.get(space)
    return None if vectors is None else DotProducts(*[torch.from_numpy(vectors)] * 2)


# None where the catalogue lacks what a baseline goes by.
BASELINES: dict[str, Callable[[Given], Scores | None]] = {
    "popularity": counting.popularity,
    "projection": counting.projection,
    "npmi": counting.association,
    "text cosine": partial(cosine, space="text"),
    "image cosine": partial(cosine, space="image"),
    "als": factorising.alternating_least_squares,
    "directed svd": factorising.directed_svd,
    "directed walks": walking.directed_walks,
    "strap": walking.strap,
    "reciprocal + adamic-adar": counting.reciprocal_adamic_adar,
    "pagerank": walking.pagerank,
    "pagerank + co-views": walking.pagerank_with_coviews,
    "magnet": magnet.magnet,
}
