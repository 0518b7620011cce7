"""Vectors that the stage reads: those of a `related` version, published and tested, and those of content alone."""

from __future__ import annotations

import numpy as np
import torch

from pipelines.alignment.loading import load_aligned
from pipelines.alignment.pipeline import read_features
from pipelines.graph.product_graph import ProductGraph
from pipelines.ranking.features import Vectors
from pipelines.ranking.sparse import FloatArray
from pipelines.related.held_out import TESTED
from twinvec.releases.lookup import lineage
from twinvec.stage import Inputs

# Products encoded at once.
CHUNK = 65_536


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


def encode_alone(inputs: Inputs, graph: ProductGraph) -> FloatArray | None:
    """Return the aligned vector of each product as if nobody had viewed it, as a new one gets it, float32 [n, d].

    None without aligned vectors, or if they were imported and there is no model.
    """
    version = inputs.versions.get("aligned")
    if version is None or version.model_uri is None:
        return None
    made_from = {parent.space: parent for parent in lineage(inputs.workspace, version.id)}
    features = read_features(Inputs(inputs.workspace, inputs.snapshot, made_from), graph)
    model = load_aligned(inputs.settings, version)
    nothing = torch.zeros(0, dtype=torch.int64)
    parts = []
    for some in np.array_split(np.arange(graph.products), -(-graph.products // CHUNK)):
        offsets = torch.zeros(len(some) + 1, dtype=torch.int64)
        with torch.inference_mode():
            parts.append(model(*features.of(torch.from_numpy(some)), offsets, nothing).numpy())
    return np.concatenate(parts)
