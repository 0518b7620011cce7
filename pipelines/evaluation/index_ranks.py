"""Ranks of edges' targets in the answers of an index, with the search settings of a release."""

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
    """Return the rank of each edge's target in the answers of the index, from 1; infinite where it is not among them.

    As in `twinvec.metrics.ranking.rank_by`, the source, its `known` targets and its other targets in `edges` do not
    count. The query asks for so many more answers that ten remain.

    Args:
        index: Index that holds the collection.
        collection: Name of the collection; an alias would do, but may move.
        products: Ids of all n products.
        source: Source vectors of these products, float32 [n, d].
        edges: Edges to rank.
        known: [n, n], nonzero where a pair is known.
        batch: Number of sources in one query.

    Returns:
        float64 [edges].
    """
    size = len(products)
    itself = sp.eye_array(size, format="csr", dtype=np.float32)
    excluded = sp.csr_array(abs(known) + edges.matrix(size) + itself)
    sources = np.unique(edges.source)
    # Sources with as many exclusions share a batch, since all lists of a batch have one length.
    sources = sources[np.argsort(np.diff(excluded.indptr)[sources], kind="stable")]
    ef = index.search_ef(collection)
    ranks = np.full(len(edges), np.inf)
    for first in range(0, len(sources), batch):
        queried = sources[first : first + batch]
        length = TOP + int(np.diff(excluded.indptr)[queried].max())
        answers = index.search(collection, source[queried], min(length, size), ef=max(ef or 0, length))
        own = np.flatnonzero(np.isin(edges.source, queried))
        ranks[own] = _ranks_in(_numbered(answers, queried, products), excluded, edges.only(own))
    return ranks


def _numbered(
    answers: Sequence[Sequence[Hit]], queried: IntArray, products: pa.StringArray
) -> tuple[IntArray, IntArray]:
    """Return the numbers of source and answer of each hit, in the order of the lists, int64 [hits] each."""
    ids = pa.array([hit.product_id for hits in answers for hit in hits], pa.string())
    numbers = pc.index_in(ids, products.cast(pa.string())).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.repeat(queried, [len(hits) for hits in answers]), numbers


def _ranks_in(
    listed: tuple[IntArray, IntArray], excluded: sp.csr_array, edges: Edges
) -> npt.NDArray[np.float64]:
    """Return the rank of each edge's target in its source's list, without `excluded` pairs; infinite if not listed."""
    row, column = listed
    size = excluded.shape[0]
    counts = np.asarray(excluded[row, column]).ravel() == 0
    # Number of counted hits before each: in all lists up to it, less those in the lists before its own.
    before = np.cumsum(counts) - counts
    start = np.r_[0, np.flatnonzero(np.diff(row)) + 1]
    before -= np.repeat(before[start], np.diff(np.r_[start, len(row)]))
    pair = row * size + column
    order = np.argsort(pair)
    target = edges.source * size + edges.target
    place = order[np.minimum(np.searchsorted(pair, target, sorter=order), len(pair) - 1)]
    return np.where(pair[place] == target, before[place] + 1, np.inf)
