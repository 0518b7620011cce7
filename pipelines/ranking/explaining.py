"""Reasons of an answer: what each kind of evidence added to the score of a related product."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.graph.product_graph import load_graph
from pipelines.ranking.catalogue import Catalogue
from pipelines.ranking.content import read_content
from pipelines.ranking.evidence import add_up
from pipelines.ranking.features import Known
from pipelines.ranking.listing import candidate_chunks
from pipelines.ranking.loading import load_ranker
from pipelines.ranking.ranker import Ranker
from pipelines.ranking.vectors import read_published_vectors
from registry import operations
from registry.database import transaction
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.errors import StateError
from twinvec.serving.related import Related
from twinvec.stage import Inputs
from twinvec.workspace import Workspace

# The one reason of a product in no co-purchase and no co-view.
VECTORS = "likeness of the vectors"


@dataclass(frozen=True)
class Opened:
    """All that the answers of one release are explained from."""

    collection: str
    catalogue: Catalogue
    known: Known
    ranker: Ranker
    product_ids: pa.Array


class Explainer:
    """Tells what spoke for the answers of a release with lists.

    The ranker, the graph and the content of the release are loaded at the first question, and kept until another
    release is asked about. May be used by several threads.

    Args:
        workspace: Stores.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._opened: Opened | None = None
        self._mutex = threading.Lock()

    def explain(self, answer: Related) -> Related:
        """Return the answer with reasons for its hits from lists: kind of evidence → what it added to the score.

        Raises:
            StateError: if the release has no lists, or they were made without a ranker.
            StoreError: if its ranker is gone from MLflow, or is another than the lists were made by.
        """
        with self._mutex:
            opened = self._open(answer.release)
        numbers = pc.index_in(
            pa.array(
                [answer.product.product_id, *(hit.product.product_id for hit in answer.hits)], pa.string()
            ),
            opened.product_ids,
        )
        if numbers[0].as_py() is None:
            raise StateError(
                "reasons are there for products of the catalogue only", "leave the explanation out"
            )
        source, *targets = numbers.fill_null(-1).to_pylist()
        if opened.known.strangers(np.array([source]))[0]:  # its list is in the order of the vectors
            by_vectors = (replace(hit, reasons={VECTORS: hit.score}) for hit in answer.hits)
            return replace(answer, hits=tuple(by_vectors))
        options = opened.catalogue.options
        ((pairs, values),) = candidate_chunks(opened.known, np.array([source]), options)
        place = np.searchsorted(pairs.target, targets)
        place = np.where(pairs.target[np.minimum(place, len(pairs) - 1)] == targets, place, -1)
        listed = np.flatnonzero(place >= 0)
        features = opened.ranker.columns(values)[place[listed]]
        reasons = add_up(opened.ranker.names, opened.ranker.contributions(features, options.threads))
        hits = list(answer.hits)
        for hit, each in zip(listed.tolist(), reasons, strict=True):
            hits[hit] = replace(hits[hit], reasons=each)
        return replace(answer, hits=tuple(hits))

    def _open(self, collection: str) -> Opened:
        if self._opened is None or self._opened.collection != collection:
            self._opened = None
            self._opened = open_release(self._workspace, collection)
        return self._opened


def open_release(workspace: Workspace, collection: str) -> Opened:
    """Return what the answers of a release are explained from.

    Raises:
        StateError: if it has no lists, or they were made without a ranker.
    """
    with transaction(workspace.engine) as session:
        release = operations.release_of_collection(session, collection)
        lists = release.lists if release is not None else None
        parents = {parent.space: parent for parent in lists.inputs} if lists is not None else {}
    if lists is None or lists.model_uri is None:
        raise StateError(
            f"{collection} has no reasons: it answers in the order of its vectors",
            "`twinvec run` makes a release with lists if there are enough co-purchases to learn from",
        )
    inputs = Inputs(workspace, open_snapshot(Path(lists.snapshot.path)), parents)
    graph = load_graph(inputs.folder("graph"))
    content, _ = read_content(inputs, graph.product_ids)
    catalogue = Catalogue(graph, content, workspace.settings.ranking)
    known = catalogue.known(graph.copurchase, read_published_vectors(inputs, graph))
    return Opened(
        collection,
        catalogue,
        known,
        load_ranker(workspace.settings, lists),
        graph.product_ids.cast(pa.string()),
    )
