"""Link prediction by our models and the usual baselines, on the same held-out edges (MERLIN 4.2.2, Tables 4 and 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from pipelines.baselines.registry import BASELINES
from pipelines.evaluation.contenders import RECIPES, contenders, fit_each, read_ground
from pipelines.evaluation.rows import log_rows, require_rows
from pipelines.graph.product_graph import ProductGraph, Split
from twinvec.catalogue.snapshot import Snapshot
from twinvec.metrics.link_prediction import link_metrics
from twinvec.metrics.scores import Scores
from twinvec.workspace import Workspace

# Without co-views, this one is `pagerank`.
ROWS = (*(name for name in BASELINES if name != "pagerank + co-views"), *RECIPES)


@dataclass(frozen=True)
class Row:
    """How well one way of scoring pairs predicts the test edges.

    Attributes:
        name: of the row.
        hits_at_3, mrr: of each edge's rank beside ten random negatives.
        auc_random: area under the ROC curve of the edges against those negatives; 0.5 is chance.
        auc_dir: area under the ROC curve of one-way edges against their reverses; 0.5 is chance.
        seconds: to fit it.
    """

    name: str
    hits_at_3: float
    mrr: float
    auc_random: float
    auc_dir: float
    seconds: float


def compare(
    workspace: Workspace,
    snapshot: Snapshot,
    progress: Callable[[str], None],
    names: Sequence[str] | None = None,
) -> list[Row]:
    """Fit each row on the training edges alone, and set the test edges against random pairs and their reverses.

    As in the paper, all are given the homogeneous graph: its co-purchase edges, and no co-views. Versions that the
    models need are made if they are not there; the rows' own vectors are kept nowhere. Figures go to MLflow: a run,
    with one in it a row.

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
    settings = workspace.settings
    ground = read_ground(workspace, snapshot, progress)
    ground = replace(ground, graph=ground.graph.without_coviews())
    rows = []
    for name, scores, seconds in fit_each(contenders(ground, settings), names or ROWS, progress):
        row = judge(name, scores, ground.graph, seconds, settings.seed)
        progress(f"{name}: Hits@3 {row.hits_at_3:.4f}, MRR {row.mrr:.4f}, AUC-dir {row.auc_dir:.4f}")
        rows.append(row)
    log_rows(settings, "links", snapshot.id, rows)
    return rows


def judge(name: str, scores: Scores, graph: ProductGraph, seconds: float, seed: int) -> Row:
    """Set the test edges against random pairs, the same for every row, and against their reverses."""
    test, known = graph.edges(Split.TEST), graph.copurchase.matrix(graph.products)
    figures = asdict(link_metrics(scores, test.ends, known, seed))
    del figures["edges"]
    return Row(name, **figures, seconds=seconds)
