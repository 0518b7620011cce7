"""Comparison of two releases by what they answer on held-out edges: their lists, or their vectors without lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch

from pipelines.ranking.listing import Ranked
from pipelines.ranking.outcome import TESTED_LISTS
from pipelines.ranking.sparse import IntArray
from pipelines.related.held_out import Common, Judged, Tested, find_common, gates_of, judge, numbers_of
from registry.models import Release, Version
from twinvec.features.manifest import Manifest
from twinvec.metrics.ranking import rank_by, ranking_metrics
from twinvec.metrics.scores import SparseScores
from twinvec.nn.device import resolve_device
from twinvec.releases.gates import Quality
from twinvec.vectors.lists import NONE
from twinvec.workspace import Workspace


def compare(workspace: Workspace, new: Release, live: Release) -> Quality:
    """Rank the edges that `pipelines.related.held_out.compare` ranks, by what each release answers.

    A release with lists is judged by those that its ranker was tested with; they, like the vectors that they were made
    from, have not seen these edges. Direction is judged by the vectors: a list tells nothing of other pairs.
    """
    common = find_common(workspace, new.version, live.version)
    if isinstance(common, str):
        return Quality(remark=common)
    device = resolve_device(workspace.settings.device)
    sides = ((new, common.ours, common.rows[0]), (live, common.other, common.rows[1]))
    figures = [_judge(workspace, release, tested, rows, common, device) for release, tested, rows in sides]
    (ours, one_way), (other, _) = figures
    gates = gates_of(workspace.settings.gates, ours, other, len(common.edges), one_way)
    return Quality(tuple(gates), len(common.edges), one_way)


def _judge(
    workspace: Workspace,
    release: Release,
    tested: Tested,
    rows: IntArray,
    common: Common,
    device: torch.device,
) -> tuple[Judged, int]:
    """Return the figures of a release, and the number of edges that have a direction."""
    by_vectors, one_way = judge(tested, rows, common.edges, common.known, device)
    ranked = _tested_lists(workspace, release.lists) if release.lists is not None else None
    if ranked is None:
        return by_vectors, one_way
    scores = SparseScores(_renumbered(ranked, numbers_of(rows, tested.graph.products), len(rows)))
    figures = ranking_metrics(rank_by(scores, common.edges.ends, common.known))
    return replace(by_vectors, mrr_at_10=figures.mrr_at_10, hits_at_10=figures.hits_at_10), one_way


def _tested_lists(workspace: Workspace, lists: Version) -> Ranked | None:
    """Return the lists that a ranker was tested with; None if there were too few edges to train one."""
    while (frozen := Manifest.from_json(lists.manifest).frozen) is not None:
        lists = workspace.version(frozen)
    file = Path(lists.path) / TESTED_LISTS
    if not file.is_file():
        return None
    with np.load(file) as arrays:
        return Ranked(arrays["sources"], arrays["targets"], arrays["scores"], arrays["marks"])


def _renumbered(ranked: Ranked, numbers: IntArray, products: int) -> sp.csr_array:
    """Return 1 / rank of each listed product, between products that have a number, float32 [products, products]."""
    row, place = np.nonzero(ranked.targets != NONE)
    source, target = numbers[ranked.sources[row]], numbers[ranked.targets[row, place]]
    kept = (source >= 0) & (target >= 0)
    values = (1 / (1 + place[kept])).astype(np.float32)
    return sp.csr_array((values, (source[kept], target[kept])), shape=(products, products))
