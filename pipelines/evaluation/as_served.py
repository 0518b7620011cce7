"""Where an index ranks the targets of edges, with the settings that a release is asked with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from pipelines.graph.product_graph import Edges
from twinvec.vectors.index import VectorIndex

Floats = npt.NDArray[np.float32]
TOP = 10


def ranks_as_served(
    index: VectorIndex,
    collection: str,
    products: pa.StringArray,
    source: Floats,
    edges: Edges,
    known: sp.csr_array,
    batch: int = 256,
) -> npt.NDArray[np.float64]:
    """Rank of each edge's target in what the index answers, from 1; infinite where it is not among the answers.

    As `pipelines.evaluation.ranking.rank_by` has it: the source, its `known` targets and the other targets listed for
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
        row = np.repeat(asked, [len(hits) for hits in answers])
        ids = pa.array([hit.product_id for hits in answers for hit in hits], pa.string())
        column = pc.index_in(ids, products.cast(pa.string())).to_numpy(zero_copy_only=False).astype(np.int64)
        counts = np.asarray(excluded[row, column]).ravel() == 0
        before = np.cumsum(counts) - counts
        start = np.r_[0, np.flatnonzero(np.diff(row)) + 1]
        before -= np.repeat(before[start], np.diff(np.r_[start, len(row)]))
        place = row * size + column
        order = np.argsort(place)
        own = np.flatnonzero(np.isin(edges.source, asked))
        pair = edges.source[own] * size + edges.target[own]
        found = order[np.minimum(np.searchsorted(place, pair, sorter=order), len(place) - 1)]
        ranks[own] = np.where(place[found] == pair, before[found] + 1, np.inf)
    return ranks
