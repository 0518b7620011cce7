"""Judging of scores by the test edges of a graph: ranks, direction, confidence intervals, differences between rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pipelines.comparisons.models import ModelRow
from pipelines.comparisons.ranking_row import Difference, RankingRow
from pipelines.graph.product_graph import ProductGraph, Split
from pipelines.related.data import COPURCHASE, relations
from twinvec.metrics.direction import direction_by
from twinvec.metrics.intervals import confidence_interval
from twinvec.metrics.ranking import MOST_RANKED, rank_by, ranking_metrics, reciprocal_ranks
from twinvec.metrics.scores import DotProducts, Scores
from twinvec.nn import calibration
from twinvec.settings import Settings

# Seed of the intervals of differences: those of all rows and tables are of the same resampled edges.
SEED = 0
FloatArray = npt.NDArray[np.float64]
ComparedRow = TypeVar("ComparedRow", RankingRow, ModelRow)


def judge_ranking(
    name: str, scores: Scores, graph: ProductGraph, seconds: float, settings: Settings
) -> RankingRow:
    """Rank the targets of the test edges among all products, and compare one-way edges with their reverses.

    Left out of each ranking are the source and its other known targets. Of more than `MOST_RANKED` test edges, so many
    are measured, the same for every row.
    """
    test, known = graph.edges(Split.TEST).evenly(MOST_RANKED), graph.copurchase.matrix(graph.products)
    ranks = rank_by(scores, test.ends, known)
    ranking = asdict(ranking_metrics(ranks))
    del ranking["edges"]
    direction = direction_by(scores, test.ends, known)
    reciprocal = reciprocal_ranks(ranks)
    low, high = confidence_interval(reciprocal, settings.seed)
    calibrated_auc = (
        direction_by(calibrate(scores, graph, settings), test.ends, known).auc_dir
        if isinstance(scores, DotProducts)
        else None
    )
    return RankingRow(
        name,
        **ranking,
        mrr_low=low,
        mrr_high=high,
        auc_dir=direction.auc_dir,
        auc_dir_calibrated=calibrated_auc,
        right_way=direction.right_way,
        seconds=seconds,
        reciprocal_ranks=reciprocal,
    )


def calibrate(scores: DotProducts, graph: ProductGraph, settings: Settings) -> DotProducts:
    """Calibrate vectors that were fitted on the training edges of `graph` by its validation edges."""
    cover = relations(graph.training_part(), reverse=False)[COPURCHASE].to(scores.device)
    seen = graph.edges(Split.TRAIN, Split.VALIDATION).matrix(graph.products)
    held_out = graph.edges(Split.VALIDATION).ends
    fit_weights = calibration.weight_fitter(held_out, seen, settings.related.direction, settings.seed)
    _, source, target = calibration.calibrate(scores.source, scores.target, cover, settings.seed, fit_weights)
    return DotProducts(source, target)


def over_row_above(rows: Sequence[ComparedRow]) -> list[ComparedRow]:
    """Return the rows with the difference of their MRR@10 to the row above; the first row has none."""
    return [
        row if not place else replace(row, over_above=paired_difference(row, rows[place - 1]))
        for place, row in enumerate(rows)
    ]


def over_best_baseline(rows: Sequence[RankingRow], names: Collection[str]) -> list[RankingRow]:
    """Return the rows with the difference of their MRR@10 to the best of the other rows that are baselines.

    Args:
        rows: Rows of one table.
        names: Names of the baselines.
    """
    compared = []
    for row in rows:
        others = [other for other in rows if other.name in names and other.name != row.name]
        best = max(others, key=lambda other: other.mrr_at_10, default=None)
        compared.append(row if best is None else replace(row, over_baseline=paired_difference(row, best)))
    return compared


def paired_difference(row: ComparedRow, other: ComparedRow) -> Difference:
    """Return the difference of MRR@10 between two rows, with an interval by a bootstrap paired by test edge."""
    assert row.reciprocal_ranks is not None
    assert other.reciprocal_ranks is not None
    return mean_difference(row.reciprocal_ranks, other.reciprocal_ranks)


def mean_difference(ours: FloatArray, others: FloatArray) -> Difference:
    """Return the mean of the differences between two figures of each edge, [edges], with its interval."""
    values = ours - others
    return Difference(float(values.mean()), *confidence_interval(values, SEED))
