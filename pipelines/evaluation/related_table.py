"""Models of `related` and what else could rank products, on the same held-out edges (MERLIN 4.2.1, Tables 2 and 3)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import stats
from torch import Tensor

from pipelines import road
from pipelines.baselines.given import Given
from pipelines.baselines.registry import BASELINES
from pipelines.device import resolve_device
from pipelines.evaluation.direction import direction_by
from pipelines.evaluation.ranking import rank_by, ranking_metrics
from pipelines.evaluation.scores import DotProducts, Scores
from pipelines.graph.product_graph import ProductGraph, Split, load_graph
from pipelines.outline import Inputs
from pipelines.related.pipeline import fit_on_training_edges, read_content
from registry.models import Version
from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import CatalogueError, SettingsError
from twinvec.settings import Settings
from twinvec.tracking import log_comparison
from twinvec.workspace import Workspace

# Name → `related.recipe`.
MODELS = {"merlin": "paper", "twinvec": "twinvec"}
ROWS = (*BASELINES, *MODELS)
# Spaces whose vectors baselines compare.
CONTENT: tuple[str, ...] = ("text", "image")
RESAMPLES = 1000


@dataclass(frozen=True)
class Row:
    """How well one way of ranking finds the targets of the test edges, and tells their direction.

    Attributes:
        name: of the row.
        mrr_low, mrr_high: 95% confidence interval of `mrr_at_10`, by bootstrap over the edges.
        auc_dir: area under the ROC curve of one-way edges against their reverses; 0.5 is chance.
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
    right_way: float
    seconds: float


def compare(
    workspace: Workspace,
    snapshot: Snapshot,
    progress: Callable[[str], None],
    names: Sequence[str] | None = None,
) -> list[Row]:
    """Fit each row on the training edges alone and rank the test edges' targets among all products.

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
    if unknown := set(names or ()) - set(ROWS):
        raise SettingsError(f"there is no row {', '.join(sorted(unknown))}", f"rows are: {', '.join(ROWS)}")
    steps = road.run(workspace, snapshot, {"aligned"}, progress=progress)
    versions = {step.space: step.version for step in steps if step.version is not None}
    inputs = Inputs(workspace, snapshot, versions)
    graph = load_graph(inputs.folder("graph"))
    if not len(graph.edges(Split.TEST)):
        raise CatalogueError(f"snapshot {snapshot.id} has no held-out edges", "ingest a larger catalogue")
    rows = []
    for name, fit in _ways(inputs, graph, versions):
        if names is not None and name not in names:
            continue
        progress(f"{name}: fitting")
        started = time.perf_counter()
        try:
            scores = fit()
        except ModuleNotFoundError as error:
            progress(f"{name}: needs {error.name}, which `pip install 'twinvec[baselines]'` brings")
            continue
        if scores is None:
            progress(f"{name}: the snapshot has nothing for it")
            continue
        row = judge(name, scores, graph, time.perf_counter() - started, workspace.settings.seed)
        progress(
            f"{name}: MRR@10 {row.mrr_at_10:.4f}, Hits@10 {row.hits_at_10:.4f}, AUC-dir {row.auc_dir:.4f}"
        )
        rows.append(row)
    figures = {
        row.name: {name: value for name, value in asdict(row).items() if name != "name"} for row in rows
    }
    log_comparison(workspace.settings, "related", snapshot.id, figures)
    return rows


def judge(name: str, scores: Scores, graph: ProductGraph, seconds: float, seed: int) -> Row:
    """Rank the test edges' targets."""
    test, known = graph.edges(Split.TEST), graph.copurchase.matrix(graph.products)
    ends = (test.source, test.target)
    ranks = rank_by(scores, ends, known)
    ranking = asdict(ranking_metrics(ranks))
    del ranking["edges"]
    direction = direction_by(scores, ends, known)
    low, high = interval(np.where(ranks <= 10, 1 / ranks, 0), seed)
    return Row(
        name,
        **ranking,
        mrr_low=low,
        mrr_high=high,
        auc_dir=direction.auc_dir,
        right_way=direction.right_way,
        seconds=seconds,
    )


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


def _ways(
    inputs: Inputs, graph: ProductGraph, versions: Mapping[str, Version]
) -> Iterator[tuple[str, Callable[[], Scores | None]]]:
    """Every row's name, and what fits it."""
    settings = inputs.settings
    keys: list[str] = graph.product_ids.to_pylist()
    content = {space: inputs.vectors(space, keys).only() for space in CONTENT if space in versions}
    given = Given(graph.training_part(), content, settings.related.dimension, settings.seed)
    for name, baseline in BASELINES.items():
        yield name, partial(baseline, given)
    features = read_content(inputs, graph)
    for name, recipe in MODELS.items():
        yield name, partial(_fit_model, graph, features, settings, recipe)


def _fit_model(graph: ProductGraph, features: Tensor, settings: Settings, recipe: str) -> Scores:
    options = settings.related.model_copy(update={"recipe": recipe})
    fitted = fit_on_training_edges(graph, features, options, resolve_device(settings.device), settings.seed)
    return DotProducts(fitted.source, fitted.target)
