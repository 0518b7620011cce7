"""Kinds of evidence, into which the contributions of features are added up to say why a product is related."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.ranking.sparse import FloatArray

EVIDENCE: Mapping[str, tuple[str, ...]] = {
    "nearness in the graph": ("walk_forth", "walk_both", "rank_walk_both"),
    "shared neighbours": (
        "adamic",
        "resource",
        "common_targets",
        "common_targets_weighted",
        "common_sources",
        "common_sources_weighted",
        "like_targets",
        "like_sources",
        "like_neighbours",
        "likeness",
        "target_likeness",
        "source_likeness",
        "rank_adamic",
        "rank_like_targets",
        "rank_like_sources",
        "rank_like_neighbours",
    ),
    "a chain of purchases": ("chain", "chain_weighted", "chain_back"),
    "bought the other way": ("back",),
    "viewed together": ("views", "walk_views", "rank_walk_views", "views_of_targets", "targets_of_views"),
    "text": ("text", "text_of_targets", "text_of_sources"),
    "category": ("category_depth", "category_same", "category_flow"),
    "brand": ("brand_same",),
    "price": ("price_ratio", "price_target"),
    "popularity": (
        "source_out",
        "source_in",
        "source_views",
        "target_out",
        "target_in",
        "target_views",
        "target_share",
    ),
}


def add_up(names: Sequence[str], contributions: FloatArray) -> list[dict[str, float]]:
    """Return kind of evidence → sum of its contributions, the largest first, for each pair.

    Args:
        names: Names of the features.
        contributions: What each feature adds to the pair's score, float32 [pairs, features].
    """
    kinds = list(EVIDENCE)
    kind_of = {name: place for place, kind in enumerate(kinds) for name in EVIDENCE[kind]}
    sums = np.zeros((len(contributions), len(kinds)))
    np.add.at(sums.T, [kind_of[name] for name in names], contributions.T)
    order = np.argsort(-sums, axis=1, kind="stable")
    return [
        {kinds[place]: float(row[place]) for place in places if row[place] != 0}
        for row, places in zip(sums, order, strict=True)
    ]
