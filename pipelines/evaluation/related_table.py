"""Models of `related` and what else could rank products, on the same held-out edges (MERLIN 4.2.1, Tables 2 and 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from pipelines.baselines.registry import BASELINES
from pipelines.evaluation.contenders import RECIPES, Fit, contenders, fit_each, read_ground
from pipelines.evaluation.rows import log_rows, require_rows
from pipelines.graph.product_graph import ProductGraph, Split
from pipelines.related.calibration import calibrated, settle_by
from pipelines.related.data import COPURCHASE, relations
from twinvec.catalogue.snapshot import Snapshot
from twinvec.metrics.direction import direction_by
from twinvec.metrics.ranking import rank_by, ranking_metrics
from twinvec.metrics.scores import DotProducts, Scores
from twinvec.settings import Settings
from twinvec.workspace import Workspace

ROWS = (*BASELINES, *RECIPES)
RESAMPLES = 1000


@dataclass(frozen=True)
class Row:
    """How well one way of ranking finds the targets of the test edges, and tells their direction.

    Attributes:
        name: of the row.
        mrr_low, mrr_high: 95% confidence interval of `mrr_at_10`, by bootstrap over the edges.
        auc_dir: area under the ROC curve of one-way edges against their reverses; 0.5 is chance.
        auc_dir_calibrated: the same by the calibration of our own recipe; None of what has no vectors.
        right_way: share of one-way edges that score above their own reverse.
        seconds: to fit it.
    """

    name: str
    hits_at_1: float
    hits_at_3: float
    hits_at_5: float
    hits_at_10: float
    mrr_at_10: float
    mrr_low: float
    mrr_high: float
    auc_dir: float
    auc_dir_calibrated: float | None
    right_way: float
    seconds: float


def compare(
    workspace: Workspace,
    snapshot: Snapshot,
    progress: Callable[[str], None],
    names: Sequence[str] | None = None,
) -> list[Row]:
    """Fit baselines and models on the training edges alone and rank the test edges' targets among all products.

    Left out of each ranking are the source and its other known targets. Versions that the models need are made if
    they are not there; the rows' own vectors are kept nowhere. Figures go to MLflow: a run, with one in it a row.

    Args:
        workspace: with the settings of all models; vectors of all rows have `related.dimension` coordinates.
        snapshot: to compare on.
        progress: told what is going on, and each row's figures.
        names: rows; all that the snapshot has the data for if not given.

    Raises:
        SettingsError: if there is no such row.
        CatalogueError: if the snapshot has no held-out edges.
    """
    require_rows(names, ROWS)
    ground = read_ground(workspace, snapshot, progress)
    fits = contenders(ground, workspace.settings)
    return rank_each("related", fits, ground.graph, workspace, snapshot, progress, names)


def rank_each(
    table: str,
    fits: Mapping[str, Fit],
    graph: ProductGraph,
    workspace: Workspace,
    snapshot: Snapshot,
    progress: Callable[[str], None],
    names: Sequence[str] | None,
) -> list[Row]:
    """Fit the rows of a table one after the other and rank the test edges of `graph`; the figures go to MLflow too."""
    rows = []
    for name, scores, seconds in fit_each(fits, names, progress):
        row = judge(name, scores, graph, seconds, workspace.settings)
        progress(
            f"{name}: MRR@10 {row.mrr_at_10:.4f}, Hits@10 {row.hits_at_10:.4f}, AUC-dir {row.auc_dir:.4f}"
        )
        rows.append(row)
    log_rows(workspace.settings, table, snapshot.id, rows)
    return rows


def judge(name: str, scores: Scores, graph: ProductGraph, seconds: float, settings: Settings) -> Row:
    """Rank the test edges' targets among all products, and tell one-way edges from their reverses."""
    test, known = graph.edges(Split.TEST), graph.copurchase.matrix(graph.products)
    ranks = rank_by(scores, test.ends, known)
    ranking = asdict(ranking_metrics(ranks))
    del ranking["edges"]
    direction = direction_by(scores, test.ends, known)
    low, high = interval(np.where(ranks <= 10, 1 / ranks, 0), settings.seed)
    calibrated_auc = (
        direction_by(calibrate(scores, graph, settings), test.ends, known).auc_dir
        if isinstance(scores, DotProducts)
        else None
    )
    return Row(
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
    """What the validation edges of `graph` make of vectors that were fitted on its training edges."""
    cover = relations(graph.training_part(), reverse=False)[COPURCHASE].to(scores.device)
    seen = graph.edges(Split.TRAIN, Split.VALIDATION).matrix(graph.products)
    settle = settle_by(graph.edges(Split.VALIDATION), seen, settings.related.direction, settings.seed)
    _, source, target = calibrated(scores.source, scores.target, cover, settings.seed, settle)
    return DotProducts(source, target)


def interval(values: npt.NDArray[np.float64], seed: int) -> tuple[float, float]:
    """95% confidence interval of the mean of `values`, [n], by the percentiles of resampled means."""
    if len(np.unique(values)) == 1:
        return float(values[0]), float(values[0])
    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=10,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)
