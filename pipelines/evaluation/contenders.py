"""Whatever can rank products, fitted on the same training edges: the rows that tables of comparison are made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pipelines.baselines.problem import Given
from pipelines.baselines.registry import BASELINES
from pipelines.graph.product_graph import ProductGraph, Split, load_graph
from pipelines.related.models import MODELS
from pipelines.related.pipeline import fit_on_training_edges, read_content
from pipelines.related.recipes import Fitted
from twinvec import dag
from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import CatalogueError
from twinvec.metrics.scores import DotProducts, Scores
from twinvec.nn.device import resolve_device
from twinvec.settings import Settings
from twinvec.stage import Inputs
from twinvec.workspace import Workspace

# Spaces whose vectors baselines compare.
SPACES: tuple[str, ...] = ("text", "image")
# Row → `related.recipe`: MERLIN as published goes by its own name beside other people's models.
RECIPES = {("merlin" if recipe == "paper" else recipe): recipe for recipe in MODELS}
# Ours; the other models stand in tables as they were published, without our calibration.
OWN = "twinvec"
# Gives None where the snapshot has nothing to rank by.
Fit = Callable[[], Scores | None]


@dataclass(frozen=True)
class Ground:
    """What a comparison is made on.

    Attributes:
        graph: with its held-out edges.
        content: space → vectors of length one, float32 [n, d], rows of zeros where a product has none.
        features: what models read of each product, float32 [n, c].
    """

    graph: ProductGraph
    content: Mapping[str, npt.NDArray[np.float32]]
    features: Tensor


def read_ground(workspace: Workspace, snapshot: Snapshot, progress: Callable[[str], None]) -> Ground:
    """Read the graph and the vectors of a snapshot; versions that are not there are made.

    Raises:
        CatalogueError: if the snapshot has no held-out edges.
    """
    inputs = read_inputs(workspace, snapshot, {"aligned"}, progress)
    graph = load_graph(inputs.folder("graph"))
    if not len(graph.edges(Split.TEST)):
        raise CatalogueError(f"snapshot {snapshot.id} has no held-out edges", "ingest a larger catalogue")
    keys: list[str] = graph.product_ids.to_pylist()
    content = {space: inputs.vectors(space, keys).only() for space in SPACES if space in inputs.versions}
    return Ground(graph, content, read_content(inputs, graph))


def read_inputs(
    workspace: Workspace, snapshot: Snapshot, spaces: Collection[str], progress: Callable[[str], None]
) -> Inputs:
    """The versions of some spaces, and of all on the way to them; those that are not there are made."""
    steps = dag.run(workspace, snapshot, spaces, progress=progress)
    return Inputs(
        workspace, snapshot, {step.space: step.version for step in steps if step.version is not None}
    )


def contenders(ground: Ground, settings: Settings) -> dict[str, Fit]:
    """What fits each baseline and each model, by the name of its row.

    Args:
        ground: whose training edges all are fitted on.
        settings: of the models; vectors that baselines learn have `related.dimension` coordinates.
    """
    given = Given(ground.graph.training_part(), ground.content, settings.related.dimension, settings.seed)
    fits: dict[str, Fit] = {name: partial(baseline, given) for name, baseline in BASELINES.items()}
    published = settings.related.model_copy(update={"calibrate": False})
    others = settings.model_copy(update={"related": published})
    return fits | {
        name: partial(scores_of, ground, recipe, settings if name == OWN else others)
        for name, recipe in RECIPES.items()
    }


def fit_recipe(ground: Ground, recipe: str, settings: Settings) -> Fitted:
    """Fit a model on the training edges alone, the best epoch chosen by the validation edges.

    Args:
        ground: the graph, and what the model reads.
        recipe: as in `related.recipe`, in place of the one that is set.
        settings: of the models.
    """
    options = settings.related.model_copy(update={"recipe": recipe})
    device = resolve_device(settings.device)
    return fit_on_training_edges(ground.graph, ground.features, options, device, settings.seed)


def scores_of(ground: Ground, recipe: str, settings: Settings) -> DotProducts:
    """What a model ranks by, fitted as `fit_recipe` does."""
    fitted = fit_recipe(ground, recipe, settings)
    return DotProducts(fitted.source, fitted.target)


def fit_each(
    fits: Mapping[str, Fit], names: Sequence[str] | None, progress: Callable[[str], None]
) -> Iterator[tuple[str, Scores, float]]:
    """Fit those that are named, or all, one after the other: the name, its scores, and the seconds it took.

    Left out, and said so, are those that want for data or for an optional dependency.
    """
    for name, fit in fits.items():
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
        yield name, scores, time.perf_counter() - started
