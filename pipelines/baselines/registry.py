"""The baselines by the name of their row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import torch

from pipelines.baselines import counting, ease, factorising, magnet, walking
from pipelines.baselines.problem import RankingProblem
from twinvec.metrics.scores import DotProducts, Scores

# A baseline returns None where the catalogue lacks the data it needs.
Baseline: TypeAlias = Callable[[RankingProblem], Scores | None]


def cosine(problem: RankingProblem, space: str) -> DotProducts | None:
    """Score pairs by the cosine of their content in one space; None if no product has any."""
    vectors = problem.content.get(space)
    return None if vectors is None else DotProducts(*[torch.from_numpy(vectors)] * 2)


def baselines(content_spaces: Sequence[str]) -> dict[str, Baseline]:
    """Return all baselines by the name of their row, in the order of tables.

    Args:
        content_spaces: Spaces of content; each gives a row that ranks by its cosine alone.
    """
    return {
        "popularity": counting.popularity,
        "projection": counting.projection,
        "npmi": counting.association,
        **{f"{space} cosine": partial(cosine, space=space) for space in content_spaces},
        "als": factorising.alternating_least_squares,
        "ease": ease.ease,
        "directed svd": factorising.directed_svd,
        "directed walks": walking.directed_walks,
        "strap": walking.strap,
        "reciprocal + adamic-adar": counting.reciprocal_adamic_adar,
        "pagerank": walking.pagerank,
        "pagerank + co-views": walking.pagerank_with_coviews,
        "magnet": magnet.magnet,
    }
