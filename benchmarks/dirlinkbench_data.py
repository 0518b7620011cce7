"""DirLinkBench's protocol for link prediction on directed graphs (He et al., arXiv 2502.05724, section 4).

Of the largest connected component of a graph, 15% of the edges are for testing and 5% for validation; a spanning tree
always stays, so that the rest is connected. Each of these edges comes with a random pair that is no edge of the whole
graph. Scores are compared across sources: Hits@100 is the share of test edges that score above the hundredth best of
all those pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy.sparse as sp
from sklearn.metrics import roc_auc_score

from pipelines.graph.connectivity import largest_component, spare_edges
from pipelines.graph.product_graph import Edges, ProductGraph
from twinvec.errors import CatalogueError
from twinvec.metrics.link_prediction import random_non_edges
from twinvec.metrics.scores import Scores, in_batches

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
TEST, VALIDATION = 0.15, 0.05
PARTS = ("data", "indices", "indptr", "shape")


@dataclass(frozen=True)
class Documents:
    """A directed graph of documents.

    Attributes:
        citations: float32 [n, n], one where the row cites the column.
        words: Count of each word in each document, float32 [n, words].
    """

    citations: sp.csr_array
    words: sp.csr_array


@dataclass(frozen=True)
class Pairs:
    """Held-out edges, and as many pairs that are no edges.

    Attributes:
        edges, others: First and second nodes, int64 [pairs] each.
    """

    edges: tuple[IntArray, IntArray]
    others: tuple[IntArray, IntArray]


@dataclass(frozen=True)
class Task:
    """One split of the benchmark; `graph` has the training edges alone."""

    graph: ProductGraph
    validation: Pairs
    test: Pairs


@dataclass(frozen=True)
class Figures:
    """Hits@100, mean reciprocal rank and area under the ROC curve of edges against all pairs that are no edges."""

    hits_at_100: float
    mrr: float
    auc: float


def read_documents(path: Path) -> Documents:
    """Read the largest connected component, without loops, of a graph in gnn-benchmark's format (`adj_*`, `attr_*`).

    Raises:
        CatalogueError: If the file is missing, or holds no such graph.
    """
    try:
        with np.load(path) as arrays:
            citations, words = (_matrix(arrays, name) for name in ("adj", "attr"))
    except (OSError, ValueError, KeyError) as error:
        raise CatalogueError(
            f"{path} cannot be read: {error}",
            "it should be an .npz file of gnn-benchmark, such as citeseer.npz",
        ) from error
    citations.setdiag(0)
    citations.eliminate_zeros()
    kept = largest_component(citations)
    return Documents(sp.csr_array(citations[kept][:, kept]), sp.csr_array(words[kept]))


def split(documents: Documents, seed: int) -> Task:
    """Hold edges out for validation and testing.

    Raises:
        CatalogueError: If too few edges can be held out before the graph falls apart.
    """
    generator = np.random.default_rng(seed)
    nodes = documents.citations.shape[0]
    source, target = (end.astype(np.int64) for end in documents.citations.tocoo().coords)
    spare = generator.permutation(np.flatnonzero(spare_edges(source, target, nodes)))
    tested, validated = int(TEST * len(source)), int(VALIDATION * len(source))
    if len(spare) < tested + validated:
        raise CatalogueError(
            f"only {len(spare)} of {len(source)} edges can be held out before the graph falls apart",
            "take a denser graph",
        )
    test, validation = spare[:tested], spare[tested : tested + validated]
    train = np.setdiff1d(np.arange(len(source)), spare[: tested + validated])
    first, second = random_non_edges(documents.citations, tested + validated, generator)
    empty = np.zeros(0, np.int64)
    graph = ProductGraph(
        product_ids=pa.array([f"{number:08}" for number in range(nodes)]),
        copurchase=Edges(source[train], target[train], np.ones(len(train), np.int64)),
        coview=Edges(empty, empty, empty),
        split=np.zeros(len(train), np.int8),
        coview_split=empty.astype(np.int8),
    )
    return Task(
        graph,
        validation=Pairs((source[validation], target[validation]), (first[tested:], second[tested:])),
        test=Pairs((source[test], target[test]), (first[:tested], second[:tested])),
    )


def judge(scores: Scores, pairs: Pairs) -> Figures:
    """Compare the scores of edges with those of pairs that are no edges."""
    return figures(in_batches(scores.pairs, *pairs.edges), in_batches(scores.pairs, *pairs.others))


def figures(positive: FloatArray, negative: FloatArray, hits: int = 100) -> Figures:
    """Return the benchmark's figures from the scores of edges and of pairs that are no edges, [pairs] each.

    Equal scores share the mean of their ranks, but are no hits, as in OGB. With fewer pairs than `hits`, all edges are
    hits.
    """
    ordered = np.sort(negative)
    above = len(ordered) - np.searchsorted(ordered, positive, side="right")
    not_below = len(ordered) - np.searchsorted(ordered, positive, side="left")
    last = ordered[-hits] if len(ordered) >= hits else -np.inf
    truth = np.repeat([1, 0], [len(positive), len(negative)])
    return Figures(
        hits_at_100=float(np.mean(positive > last)),
        mrr=float(np.mean(1 / (1 + (above + not_below) / 2))),
        auc=float(roc_auc_score(truth, np.concatenate([positive, negative]))),
    )


def _matrix(arrays: np.lib.npyio.NpzFile, name: str) -> sp.csr_array:
    data, indices, indptr, shape = (arrays[f"{name}_{part}"] for part in PARTS)
    return sp.csr_array((data.astype(np.float32), indices, indptr), shape=tuple(shape.tolist()))
