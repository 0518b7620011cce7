"""Judging two versions of `similar` on the same held-out families, which neither was trained on."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import torch

from pipelines.similar.evaluation import divide, figures
from pipelines.similar.listings import read_labels
from registry.models import Version
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.features.reading import read_vectors
from twinvec.metrics.graded import rank_graded
from twinvec.releases.gates import Gate, Quality, named
from twinvec.workspace import Workspace


def compare(workspace: Workspace, new: Version, live: Version) -> Quality:
    """Compare recall@k and nDCG@k of the test families of the new version's snapshot, among the listings of both.

    Whether a family is held out depends on its id and the seed alone, so both versions held out the same ones.
    """
    settings, options = workspace.settings, workspace.settings.similar
    labels = read_labels(open_snapshot(Path(new.snapshot.path)), settings.seed, settings.ingest.memory_limit)
    test = divide(labels, options).test
    items: list[str] = labels.items.take(pa.array(test)).to_pylist()
    read = [read_vectors(workspace.features, version, items) for version in (new, live)]
    both = read[0].present & read[1].present
    identity = labels.matrix(("product", "family"))[test[both]]
    if len(identity) < 2:
        return Quality(remark="quality was not compared: both versions have no held-out listing in common")
    now, before = (
        figures(
            rank_graded(torch.from_numpy(each.only()[both]), identity[:, 0], identity[:, 1], options.k),
            options.k,
        )
        for each in read
    )
    queries = int(now["queries"])
    gates = [
        (
            Gate(
                name, now[name], before[name], before[name] * (1 - drop), None, named(settings.gates, bound)
            ),
            queries,
        )
        for name, drop, bound in (
            (f"recall_at_{options.k}", settings.gates.max_hits_drop, "max_hits_drop"),
            (f"ndcg_at_{options.k}", settings.gates.max_mrr_drop, "max_mrr_drop"),
        )
        if name in now
    ]
    return Quality(tuple(gates), queries)
