"""Judging of scores by the test edges of a graph: ranks of the targets, direction, confidence intervals."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import numpy.typing as npt
from scipy import stats

from pipelines.comparisons.ranking_row import RankingRow
from pipelines.graph.product_graph import ProductGraph, Split
from pipelines.related.data import COPURCHASE, relations
from twinvec.metrics.direction import direction_by
from twinvec.metrics.ranking import rank_by, ranking_metrics
from twinvec.metrics.scores import DotProducts, Scores
from twinvec.nn import calibration
from twinvec.settings import Settings

RESAMPLES = 1000


def judge_ranking(
    name: str, scores: Scores, graph: ProductGraph, seconds: float, settings: Settings
) -> RankingRow:
    """Rank the targets of the test edges among all products, and compare one-way edges with their reverses.

    Left out of each ranking are the source and its other known targets.
    """
    test, known = graph.edges(Split.TEST), graph.copurchase.matrix(graph.products)
    ranks = rank_by(scores, test.ends, known)
    ranking = asdict(ranking_metrics(ranks))
    del ranking["edges"]
    direction = direction_by(scores, test.ends, known)
    low, high = confidence_interval(np.where(ranks <= 10, 1 / ranks, 0), settings.seed)
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
    )


def calibrate(scores: DotProducts, graph: ProductGraph, settings: Settings) -> DotProducts:
    """Calibrate vectors that were fitted on the training edges of `graph` by its validation edges."""
    cover = relations(graph.training_part(), reverse=False)[COPURCHASE].to(scores.device)
    seen = graph.edges(Split.TRAIN, Split.VALIDATION).matrix(graph.products)
    held_out = graph.edges(Split.VALIDATION).ends
    fit_weights = calibration.weight_fitter(held_out, seen, settings.related.direction, settings.seed)
    _, source, target = calibration.calibrate(scores.source, scores.target, cover, settings.seed, fit_weights)
    return DotProducts(source, target)


def confidence_interval(values: npt.NDArray[np.float64], seed: int) -> tuple[float, float]:
    """Return the 95% confidence interval of the mean of `values`, [n], by percentiles of resampled means."""
    if len(np.unique(values)) == 1:
        return float(values[0]), float(values[0])
    interval = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=10,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)
