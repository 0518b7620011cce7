"""The data that all rows of a comparison of related products share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pipelines.graph.product_graph import ProductGraph, Split, load_graph
from pipelines.related.pipeline import read_content
from twinvec import dag
from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import CatalogueError
from twinvec.spaces import content_spaces
from twinvec.stage import Inputs
from twinvec.workspace import Workspace

# Spaces whose vectors baselines compare.
CONTENT_SPACES = tuple(space.name for space in content_spaces())


@dataclass(frozen=True)
class ComparisonData:
    """A graph with its held-out edges, and the content of its products.

    Attributes:
        graph: The product graph; rows are fitted on its training edges and judged on its test edges.
        content: Space → vectors of length one, float32 [n, d], rows of zeros where a product has none.
        features: Content that the models read, float32 [n, c].
    """

    graph: ProductGraph
    content: Mapping[str, npt.NDArray[np.float32]]
    features: Tensor


def read_data(workspace: Workspace, snapshot: Snapshot, progress: Callable[[str], None]) -> ComparisonData:
    """Read the graph and the vectors of a snapshot; versions that are missing are made.

    Raises:
        CatalogueError: If the snapshot has no held-out edges.
    """
    inputs = make_versions(workspace, snapshot, {"aligned"}, progress)
    graph = load_graph(inputs.folder("graph"))
    if not len(graph.edges(Split.TEST)):
        raise CatalogueError(f"snapshot {snapshot.id} has no held-out edges", "ingest a larger catalogue")
    keys: list[str] = graph.product_ids.to_pylist()
    content = {
        space: inputs.vectors(space, keys).only() for space in CONTENT_SPACES if space in inputs.versions
    }
    return ComparisonData(graph, content, read_content(inputs, graph))


def make_versions(
    workspace: Workspace, snapshot: Snapshot, spaces: Collection[str], progress: Callable[[str], None]
) -> Inputs:
    """Return the versions of some spaces, and of all that these need; those that are missing are made."""
    steps = dag.run(workspace, snapshot, spaces, progress=progress)
    return Inputs(
        workspace, snapshot, {step.space: step.version for step in steps if step.version is not None}
    )
