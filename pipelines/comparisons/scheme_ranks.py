"""Reciprocal ranks by which training schemes of an encoder are compared, pair by pair or edge by edge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from pipelines.graph.coviews import rank_test_coviews
from pipelines.graph.product_graph import load_graph
from pipelines.related.held_out import read_tested
from pipelines.text.texts import read_languages
from registry.models import Version
from twinvec.catalogue.snapshot import Snapshot
from twinvec.features.reading import read_vectors
from twinvec.metrics.ranking import MOST_RANKED, rank_targets, reciprocal_ranks
from twinvec.workspace import Workspace

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SchemeRanks:
    """1 / rank, zero beyond rank 10, of what a scheme is judged by; the mean is its MRR@10.

    A co-view is ranked from both of its products. It has the mean of the two, which hang together.

    Attributes:
        everywhere: Of every test edge or test co-view, float64 [edges].
        across: Of the co-views whose titles are of different languages, float64 [some].
    """

    everywhere: FloatArray
    across: FloatArray


def ranks_on_coviews(workspace: Workspace, snapshot: Snapshot, version: Version) -> SchemeRanks:
    """Rank the test co-views by the vectors of an encoder's version, which was made from their graph."""
    (made_from,) = (each for each in version.inputs if each.space == "graph")
    graph = load_graph(Path(made_from.path))
    read = read_vectors(workspace.features, version, graph.product_ids.to_pylist())
    (vectors,) = read.fields.values()
    product_ids = graph.product_ids.filter(read.present)
    languages = read_languages(snapshot, product_ids) if version.space == "text" else None
    found = rank_test_coviews(graph, product_ids, vectors[read.present], languages)
    assert found is not None, "a version with figures on co-views has such pairs"
    reciprocal = reciprocal_ranks(found.ranks).mean(axis=0)
    return SchemeRanks(reciprocal, reciprocal[found.across])


def ranks_on_edges(workspace: Workspace, version: Version) -> SchemeRanks:
    """Rank the test edges by the vectors that a version of `related` was tested with."""
    tested = read_tested(workspace, version)
    assert tested is not None, "a version with figures was made from a graph"
    edges, known = tested.held_out_edges().evenly(MOST_RANKED), tested.graph.copurchase
    source, target = (torch.from_numpy(np.asarray(each)) for each in (tested.source, tested.target))
    ranks = rank_targets(source, target, edges.ends, known.matrix(tested.graph.products))
    return SchemeRanks(reciprocal_ranks(ranks), np.zeros(0))
