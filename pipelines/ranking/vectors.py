"""The vectors of a `related` version: those that it publishes, and those that it was tested with."""

from __future__ import annotations

import numpy as np

from pipelines.graph.product_graph import ProductGraph
from pipelines.ranking.features import Vectors
from pipelines.related.held_out import TESTED
from twinvec.stage import Inputs


def read_published_vectors(inputs: Inputs, graph: ProductGraph) -> Vectors:
    """Return the vectors of the `related` version, in the order of the graph."""
    read = inputs.vectors("related", graph.product_ids.to_pylist())
    source, target = read.fields.values()
    return Vectors(source, target)


def read_tested_vectors(inputs: Inputs, graph: ProductGraph) -> Vectors | None:
    """Return the vectors that were trained on the training edges alone; None if the version has no such vectors."""
    file = inputs.folder("related") / TESTED
    if not file.is_file():
        return None
    source, target = np.load(file)
    return Vectors(source, target)
