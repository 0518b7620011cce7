"""Table of link prediction: models and baselines on the same held-out edges (MERLIN 4.2.2, Tables 4 and 5).

As in the paper, every row has the homogeneous graph: its co-purchase edges, and no co-views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.comparisons.comparison import Column, Comparison, Request

if TYPE_CHECKING:
    from pipelines.comparisons.contenders import Contest
    from twinvec.metrics.scores import Scores

# Without co-views, this baseline is `pagerank`.
SAME_WITHOUT_COVIEWS = "pagerank + co-views"


@dataclass(frozen=True)
class LinkRow:
    """Link-prediction figures of one way of scoring pairs, on the test edges.

    Attributes:
        name: Name of the row.
        hits_at_3, mrr: Figures of each edge's rank beside ten random negatives.
        auc_random: Area under the ROC curve of the edges against those negatives; 0.5 is chance.
        auc_dir: Area under the ROC curve of one-way edges against their reverses; 0.5 is chance.
        seconds: Seconds that fitting took.
    """

    name: str
    hits_at_3: float
    mrr: float
    auc_random: float
    auc_dir: float
    seconds: float


def row_names() -> Sequence[str]:
    """Return the names of all baselines but one, then those of all models."""
    from pipelines.comparisons.contenders import contender_names

    return [name for name in contender_names() if name != SAME_WITHOUT_COVIEWS]


def prepare(request: Request) -> Contest:
    """Read the graph and the content, and leave the co-views out."""
    from dataclasses import replace

    from pipelines.comparisons.contenders import contest
    from pipelines.comparisons.data import read_data

    data = read_data(request.workspace, request.snapshot, request.progress)
    return contest(replace(data, graph=data.graph.without_coviews()), request.settings)


def fit(problem: Contest, name: str) -> Scores | None:
    """Fit a baseline or a model on the training edges alone."""
    from pipelines.comparisons.contenders import fit_contender

    return fit_contender(problem, name)


def judge(problem: Contest, name: str, scores: Scores, seconds: float) -> LinkRow:
    """Compare the test edges with random pairs, the same for every row, and with their reverses."""
    from pipelines.graph.product_graph import Split
    from twinvec.metrics.link_prediction import link_metrics

    graph = problem.data.graph
    known = graph.copurchase.matrix(graph.products)
    metrics = link_metrics(scores, graph.edges(Split.TEST).ends, known, problem.settings.seed)
    return LinkRow(name, metrics.hits_at_3, metrics.mrr, metrics.auc_random, metrics.auc_dir, seconds)


COMPARISON = Comparison(
    name="links",
    title="Links between co-purchases, ten random pairs a held-out edge",
    help="Co-purchases that models and baselines predict (Tables 4 and 5).",
    columns=(
        Column("hits_at_3", "Hits@3"),
        Column("mrr", "MRR"),
        Column("auc_random", "AUC-random"),
        Column("auc_dir", "AUC-dir"),
        Column("seconds", "seconds"),
    ),
    rows=row_names,
    prepare=prepare,
    fit=fit,
    judge=judge,
    summary=("hits_at_3", "mrr", "auc_dir"),
    extra="baselines",
)
