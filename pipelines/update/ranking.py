"""Lists of a later snapshot by the ranker of the live release; nothing is trained."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.graph.product_graph import load_graph
from pipelines.ranking.catalogue import Catalogue
from pipelines.ranking.content import read_content
from pipelines.ranking.listing import Ranked, make_lists
from pipelines.ranking.loading import load_cold_ranker, load_ranker
from pipelines.ranking.outcome import MARKS, outcome_of
from pipelines.ranking.vectors import read_published_vectors
from pipelines.update.live import Live
from registry.models import Version
from twinvec.features.manifest import Manifest
from twinvec.progress import Progress
from twinvec.stage import Inputs, Outcome, Train
from twinvec.tracking import Run
from twinvec.vectors.lists import NONE, open_lists
from twinvec.workspace import Workspace


def carry_ranking(workspace: Workspace, live: Live, full: bool) -> Train:
    """Return a training that gives a later snapshot the lists of the live ranker; nothing is trained.

    Candidates and features are computed for every product, and ranked where they are others than before. All other
    lists are taken over.

    Args:
        workspace: Stores.
        live: Live release, with lists.
        full: Rank the candidates of every product.

    Raises:
        StoreError: if the ranker is gone from MLflow, or is another than the lists were made by.
    """
    old = live.versions["ranking"]
    ranker = load_ranker(workspace.settings, old) if old.model_uri is not None else None

    def train(inputs: Inputs, _run: Run, progress: Progress) -> Outcome:
        started = time.perf_counter()
        graph = load_graph(inputs.folder("graph"))
        content, marketplaces = read_content(inputs, graph.product_ids)
        catalogue = Catalogue(graph, content, inputs.settings.ranking)
        known = catalogue.known(graph.copurchase, read_published_vectors(inputs, graph))
        taken = None if full else read_lists(old, graph.product_ids)
        ranked = make_lists(known, ranker, np.arange(graph.products), catalogue.options, taken=taken)
        same = int((ranked.marks == taken.marks).sum()) if taken is not None else 0
        progress(f"{graph.products - same:,} of {graph.products:,} products get another list")
        return outcome_of(
            catalogue,
            marketplaces,
            ranked,
            {
                "affected": float(graph.products - same),
                "taken_over": float(same),
                "seconds": time.perf_counter() - started,
            },
            model=Manifest.from_json(old.manifest).model,
            log_model=(lambda: str(old.model_uri)) if ranker is not None else None,
            cold=load_cold_ranker(old),
        )

    return train


def read_lists(version: Version, product_ids: pa.StringArray) -> Ranked:
    """Return the lists of a version for the products of a later graph, numbered as there.

    Products that were not there have mark 0 and no list. A listed product that is gone becomes −1: its list is not
    taken over, since its candidates are others now.
    """
    lists, marks = open_lists(Path(version.path)), np.load(Path(version.path) / MARKS)
    ids = product_ids.cast(pa.string())
    before = pc.fill_null(pc.index_in(ids, lists.product_ids), NONE).to_numpy()
    now = pc.fill_null(pc.index_in(lists.product_ids, ids), NONE).to_numpy().astype(np.int32)
    there = before != NONE
    targets = np.where(lists.targets[before] == NONE, NONE, now[lists.targets[before]])
    return Ranked(
        np.arange(len(ids)),
        np.where(there[:, None], targets, NONE).astype(np.int32),
        np.where(there[:, None], lists.scores[before], 0),
        np.where(there, marks[before], 0),
    )
