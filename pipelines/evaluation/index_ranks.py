"""Where an index ranks the targets of edges, with the settings that a release is asked with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from pipelines.graph.product_graph import Edges
from twinvec.vectors.index import Hit, VectorIndex

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
TOP = 10


def ranks_as_served(
    index: VectorIndex,
    collection: str,
    products: pa.StringArray,
    source: FloatArray,
    edges: Edges,
    known: sp.csr_array,
    batch: int = 256,
) -> npt.NDArray[np.float64]:
    """Rank of each edge's target in what the index answers, from 1; infinite where it is not among the answers.

    As `twinvec.metrics.ranking.rank_by` has it: the source, its `known` targets and the other targets listed for
    it do not count. So many more answers are asked for that ten remain.

    Args:
        index: where the collection is.
        collection: its name; an alias would do, but may move.
        products: ids of all n products.
        source: source vectors of these, float32 [n, d].
        edges: to rank.
        known: [n, n], nonzero where a pair is known.
        batch: sources asked at once.

    Returns:
        float64 [edges].
    """
    size = len(products)
    itself = sp.eye_array(size, format="csr", dtype=np.float32)
    excluded = sp.csr_array(abs(known) + edges.matrix(size) + itself)
    sources = np.unique(edges.source)
    # Those with as many exclusions are asked together, since a batch has one length of its answers.
    sources = sources[np.argsort(np.diff(excluded.indptr)[sources], kind="stable")]
    ef = index.search_ef(collection)
    ranks = np.full(len(edges), np.inf)
    for first in range(0, len(sources), batch):
        asked = sources[first : first + batch]
        wanted = TOP + int(np.diff(excluded.indptr)[asked].max())
        answers = index.search(collection, source[asked], min(wanted, size), ef=max(ef or 0, wanted))
        own = np.flatnonzero(np.isin(edges.source, asked))
        ranks[own] = _ranks_in(_numbered(answers, asked, products), excluded, edges.only(own))
    return ranks


def _numbered(
    answers: Sequence[Sequence[Hit]], asked: IntArray, products: pa.StringArray
) -> tuple[IntArray, IntArray]:
    """Source and answer, by their numbers, of each hit in the order of the lists, int64 [hits] each."""
    ids = pa.array([hit.product_id for hits in answers for hit in hits], pa.string())
    numbers = pc.index_in(ids, products.cast(pa.string())).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.repeat(asked, [len(hits) for hits in answers]), numbers


def _ranks_in(
    listed: tuple[IntArray, IntArray], excluded: sp.csr_array, edges: Edges
) -> npt.NDArray[np.float64]:
    """Rank of each edge's target in the list of its source, `excluded` pairs not counted; infinite if not in it."""
    row, column = listed
    size = excluded.shape[0]
    counts = np.asarray(excluded[row, column]).ravel() == 0
    # Hits that count before each: in all lists up to it, then less those in the lists before its own.
    before = np.cumsum(counts) - counts
    start = np.r_[0, np.flatnonzero(np.diff(row)) + 1]
    before -= np.repeat(before[start], np.diff(np.r_[start, len(row)]))
    pair = row * size + column
    order = np.argsort(pair)
    wanted = edges.source * size + edges.target
    found = order[np.minimum(np.searchsorted(pair, wanted, sorter=order), len(pair) - 1)]
    return np.where(pair[found] == wanted, before[found] + 1, np.inf)
