"""Evaluation of a version, and of the live release, on edges from a file."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
import torch

from pipelines.evaluation.index_ranks import ranks_as_served
from pipelines.graph.product_graph import Edges
from registry import operations
from registry.database import transaction
from registry.models import Release, Version
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.errors import CatalogueError, NotFoundError
from twinvec.features.reading import read_vectors
from twinvec.metrics.direction import direction_metrics
from twinvec.metrics.intervals import confidence_interval
from twinvec.metrics.ranking import rank_by, rank_targets, ranking_metrics, reciprocal_ranks
from twinvec.metrics.scores import SparseScores
from twinvec.nn.device import resolve_device
from twinvec.vectors.lists import NONE, open_lists
from twinvec.workspace import Workspace


@dataclass(frozen=True)
class EdgeEvaluation:
    """Metrics over the edges of a file.

    Attributes:
        version: Name of the version whose vectors were judged.
        release: Release that serves it; None if it is not live.
        read: Number of edges in the file. Each is ranked or counted as one of the next three.
        unknown: Number of edges left out because an end is not in the snapshot.
        loops: Number of edges left out because they lead from a product to itself.
        repeated: Number of edges left out because the same edge comes earlier in the file.
        edges: Number of ranked edges.
        hits_at_1, hits_at_3, hits_at_5, hits_at_10, mrr_at_10: Figures of the target's rank among all products,
            without the source itself, its known co-purchases in the snapshot and its other targets in the file.
        auc_dir: Area under the ROC curve of edges against their reverses, for edges whose reverse is neither in the
            file nor in the snapshot.
        right_way: Share of these edges that score above their own reverse.
        one_way_edges: Number of these edges.
        mrr_low, mrr_high: 95% confidence interval of `mrr_at_10`, by a bootstrap over the edges.
        served_hits_at_10, served_mrr_at_10: Hits@10 and MRR@10 in what the release answers: its lists, or its index if
            it has none; None without a release.
        served_gain, served_gain_low, served_gain_high: What is served less the vectors, in MRR@10, with its interval,
            paired by edge; None without a release.
    """

    version: str
    release: str | None
    read: int
    unknown: int
    loops: int
    repeated: int
    edges: int
    hits_at_1: float
    hits_at_3: float
    hits_at_5: float
    hits_at_10: float
    mrr_at_10: float
    auc_dir: float
    right_way: float
    one_way_edges: int
    mrr_low: float
    mrr_high: float
    served_hits_at_10: float | None = None
    served_mrr_at_10: float | None = None
    served_gain: float | None = None
    served_gain_low: float | None = None
    served_gain_high: float | None = None


@dataclass(frozen=True)
class UsableEdges:
    """Edges of a file that can be ranked, and the numbers of those that cannot.

    Attributes:
        edges: Distinct edges between two different products, in the order of the file.
        read: Number of edges in the file.
        unknown, loops, repeated: Numbers of edges left out, as in `EdgeEvaluation`.
    """

    edges: Edges
    read: int
    unknown: int
    loops: int
    repeated: int


def evaluate_edges(workspace: Workspace, edges: Path, version: str | None = None) -> EdgeEvaluation:
    """Rank the target of each edge among all products for its source.

    Edges from a product to itself are left out, and an edge that is repeated counts once; the result says how many.

    Args:
        workspace: The stores.
        edges: A CSV file with the columns source and target, product ids.
        version: Such as `related@v3`; the live release's if not given, or the latest if none is live.

    Raises:
        NotFoundError: If there is no such file or version.
        CatalogueError: If the file has other columns, or no edge between two products of the snapshot.
    """
    judged, release = _judged(workspace, version)
    snapshot = open_snapshot(Path(judged.snapshot.path))
    with snapshot.connect(workspace.settings.ingest.memory_limit) as connection:
        products = _column(connection, "SELECT product_id FROM products ORDER BY product_id")
        known = _pairs(connection.sql("SELECT source, target FROM copurchase").to_arrow_table(), products)
    if not snapshot.directed:
        known = known.both_ways()
    listed = _read_edges(edges)
    usable = usable_edges(_pairs(listed, products), listed.num_rows)
    edges_to_rank = usable.edges
    if not len(edges_to_rank):
        raise CatalogueError(
            f"none of the {usable.read} edges of {edges} joins two products of snapshot {snapshot.id}: of "
            f"{usable.unknown} an end is unknown, and {usable.loops} lead from a product to itself",
            "source and target are product ids; is this the right snapshot?",
        )
    vectors = read_vectors(workspace.features, judged, products.to_pylist())
    device = resolve_device(workspace.settings.device)
    source, target = (torch.from_numpy(field).to(device) for field in vectors.fields.values())
    matrix = known.matrix(len(products))
    ranks = rank_targets(source, target, edges_to_rank.ends, matrix)
    low, high = confidence_interval(reciprocal_ranks(ranks))
    served: dict[str, Any] = {}
    if release is not None:
        queries, *_ = vectors.fields.values()
        served = _compared(ranks, _served(workspace, release, products, queries, edges_to_rank, matrix))
    direction = direction_metrics(
        source, target, edges_to_rank.ends, matrix + edges_to_rank.matrix(len(products))
    )
    return EdgeEvaluation(
        version=judged.name,
        release=release.collection if release is not None else None,
        read=usable.read,
        unknown=usable.unknown,
        loops=usable.loops,
        repeated=usable.repeated,
        **asdict(ranking_metrics(ranks)),
        **asdict(direction),
        mrr_low=low,
        mrr_high=high,
        **served,
    )


def usable_edges(edges: Edges, read: int) -> UsableEdges:
    """Return the edges that can be ranked: no edge from a product to itself, and each edge once.

    Args:
        edges: Edges of a file whose ends are both known, in its order.
        read: Number of edges in the file.

    Example:
        >>> import numpy as np
        >>> listed = Edges(np.array([3, 1, 3, 2]), np.array([1, 1, 1, 3]), np.ones(4, np.int64))
        >>> usable = usable_edges(listed, read=6)
        >>> usable.edges.source.tolist(), usable.unknown, usable.loops, usable.repeated
        ([3, 2], 2, 1, 1)
    """
    different = edges.only(edges.source != edges.target)
    pairs = np.stack(different.ends, axis=1)
    first = np.sort(np.unique(pairs, axis=0, return_index=True)[1])
    return UsableEdges(
        different.only(first),
        read,
        unknown=read - len(edges),
        loops=len(edges) - len(different),
        repeated=len(different) - len(first),
    )


def _served(
    workspace: Workspace,
    release: Release,
    products: pa.StringArray,
    source: npt.NDArray[np.float32],
    edges: Edges,
    known: sp.csr_array,
) -> npt.NDArray[np.float64]:
    """Return the ranks of the edges' targets in what a release answers: its lists, or its index without lists.

    A target beyond the end of a list counts as ranked last.
    """
    if release.lists is None:
        return ranks_as_served(workspace.index, release.collection, products, source, edges, known)
    lists = open_lists(Path(release.lists.path))
    row, place = np.nonzero(lists.targets != NONE)
    ends = row, lists.targets[row, place].astype(np.int64)
    scores = sp.csr_array(((1 / (1 + place)).astype(np.float32), ends), shape=known.shape)
    return rank_by(SparseScores(scores), edges.ends, known)


def _compared(ranks: npt.NDArray[np.float64], served: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Return the figures of `EdgeEvaluation` on what is served, beside the ranks by the vectors."""
    metrics, gain = ranking_metrics(served), reciprocal_ranks(served) - reciprocal_ranks(ranks)
    low, high = confidence_interval(gain)
    return {
        "served_hits_at_10": metrics.hits_at_10,
        "served_mrr_at_10": metrics.mrr_at_10,
        "served_gain": float(gain.mean()),
        "served_gain_low": low,
        "served_gain_high": high,
    }


def _judged(workspace: Workspace, name: str | None) -> tuple[Version, Release | None]:
    with transaction(workspace.engine) as session:
        live = operations.live_release(session, workspace.settings.release)
    if name is None and live is not None:
        return live.version, live
    version = workspace.version(name or "related")
    serves = live is not None and live.version.id == version.id
    return version, live if serves else None


def _read_edges(path: Path) -> pa.Table:
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [p.name for p in path.absolute().parent.glob("*")], n=1)
        raise NotFoundError(
            f"there is no file {path}", f"did you mean {near[0]}?" if near else "name a CSV file of edges"
        )
    try:
        with duckdb.connect() as connection:
            table: pa.Table = connection.sql(
                "FROM read_csv($path, header = true, all_varchar = true)", params={"path": str(path)}
            ).to_arrow_table()
    except duckdb.Error as error:
        raise CatalogueError(
            f"{path} cannot be read as CSV: {str(error).splitlines()[0]}",
            "it needs a header line and the columns source and target",
        ) from error
    if not {"source", "target"} <= set(table.column_names):
        raise CatalogueError(
            f"{path} has the columns {', '.join(table.column_names)}",
            "it needs the columns source and target",
        )
    return table.select(["source", "target"])


def _column(connection: duckdb.DuckDBPyConnection, query: str) -> pa.StringArray:
    table: pa.Table = connection.sql(query).to_arrow_table()
    return table.column(0).combine_chunks()


def _pairs(table: pa.Table, products: pa.StringArray) -> Edges:
    """Return the rows of `table` whose two ends are among `products`, as numbered edges."""
    ends = [
        pc.index_in(table[end].cast(pa.string()), products.cast(pa.string())) for end in ("source", "target")
    ]
    both = pc.and_(ends[0].is_valid(), ends[1].is_valid())
    rows = np.stack([end.filter(both).to_numpy().astype(np.int64) for end in ends], axis=1)
    return Edges(rows[:, 0], rows[:, 1], np.ones(len(rows), np.int64))
