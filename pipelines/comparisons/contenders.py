"""Models and baselines, fitted on the same training edges: the rows of several tables."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.baselines.problem import RankingProblem
from pipelines.baselines.registry import baselines
from pipelines.comparisons.comparison import Request
from pipelines.comparisons.data import CONTENT_SPACES, ComparisonData, read_data
from pipelines.related.fitting import Fitted
from pipelines.related.models import model_names
from pipelines.related.pipeline import fit_on_training_edges
from twinvec.metrics.scores import DotProducts, Scores
from twinvec.nn.device import resolve_device
from twinvec.settings import Settings

# The row of Twinvec's own model; the others stand in tables as they were published, without our calibration.
OWN = "twinvec"


@dataclass(frozen=True)
class Contest:
    """The problem on which models and baselines compete.

    Attributes:
        data: The graph and the content, as models read them.
        baselines: The same for baselines; their vectors have `related.dimension` coordinates.
        settings: Settings of the models.
    """

    data: ComparisonData
    baselines: RankingProblem
    settings: Settings


def contest(data: ComparisonData, settings: Settings) -> Contest:
    """Return the problem of fitting on the training edges of some data."""
    problem = RankingProblem(
        data.graph.training_part(), data.content, settings.related.dimension, settings.seed
    )
    return Contest(data, problem, settings)


def read_contest(request: Request) -> Contest:
    """Read the data of a snapshot.

    Raises:
        CatalogueError: If the snapshot has no held-out edges.
    """
    return contest(read_data(request.workspace, request.snapshot, request.progress), request.settings)


def model_rows() -> dict[str, str]:
    """Return the row of each model → its name in `related.recipe`; MERLIN as published is `paper` there."""
    return {("merlin" if name == "paper" else name): name for name in model_names()}


def contender_names() -> tuple[str, ...]:
    """Return the names of all baselines, then those of all models."""
    return (*baselines(CONTENT_SPACES), *model_rows())


def fit_contender(problem: Contest, name: str) -> Scores | None:
    """Fit the baseline or the model of this name; None if the snapshot lacks what a baseline needs."""
    baseline = baselines(CONTENT_SPACES).get(name)
    if baseline is not None:
        return baseline(problem.baselines)
    settings = problem.settings
    if name != OWN:
        published = settings.related.model_copy(update={"calibrate": False})
        settings = settings.model_copy(update={"related": published})
    return fit_scores(problem.data, model_rows()[name], settings)


def fit_model(data: ComparisonData, recipe: str, settings: Settings) -> Fitted:
    """Fit a model on the training edges alone; the validation edges choose the best epoch.

    Args:
        data: The graph, and the content that the model reads.
        recipe: Name of the model, in place of `related.recipe`.
        settings: Settings of the models.
    """
    options = settings.related.model_copy(update={"recipe": recipe})
    device = resolve_device(settings.device)
    return fit_on_training_edges(data.graph, data.features, options, device, settings.seed)


def fit_scores(data: ComparisonData, recipe: str, settings: Settings) -> DotProducts:
    """Fit a model as `fit_model` does, and return the scores by which it ranks products."""
    fitted = fit_model(data, recipe, settings)
    return DotProducts(fitted.source, fitted.target)
