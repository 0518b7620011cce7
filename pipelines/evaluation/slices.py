"""Evaluation by kind of edge, and the coverage and diversity of the lists of ten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import scipy.sparse as sp
import torch

from pipelines.graph.product_graph import Edges, ProductGraph
from pipelines.related.held_out import read_tested
from registry.models import Version
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.errors import CatalogueError
from twinvec.metrics.ranking import MOST_RANKED, rank_by, ranking_metrics
from twinvec.metrics.scores import DotProducts, Scores
from twinvec.workspace import Workspace

Flags = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Texts = npt.NDArray[np.str_]
TOP = 10
# Largest number of sources whose lists are measured for coverage and diversity.
LISTS = 20_000
PLACES = "SELECT product_id, marketplace, array_to_string(category, ' > ') AS category FROM products"


@dataclass(frozen=True)
class Slice:
    """Ranking figures of the edges of one kind.

    Attributes:
        kind: Kind of edge.
        edges: Number of edges of this kind.
        hits_at_10, mrr_at_10: Figures of their targets' ranks among all products.
    """

    kind: str
    edges: int
    hits_at_10: float
    mrr_at_10: float


@dataclass(frozen=True)
class Shown:
    """Coverage and diversity of a model's lists of ten.

    Attributes:
        lists: Number of lists measured, one a source.
        coverage: Share of all products that are in at least one list.
        categories: Mean number of categories in a list.
        other_category: Share of listed products of another category than the source.
    """

    lists: int
    coverage: float
    categories: float
    other_category: float


@dataclass(frozen=True)
class Sliced:
    """The slices of a version, and its lists."""

    version: str
    slices: list[Slice]
    shown: Shown


def evaluate_slices(workspace: Workspace, version: Version) -> Sliced:
    """Rank the test edges of a version of `related` by the vectors it was tested with, by kind of edge.

    Of more than `MOST_RANKED` test edges, so many are measured.

    Raises:
        CatalogueError: If the version was trained on all its edges.
    """
    tested = read_tested(workspace, version)
    if tested is None or not len(edges := tested.held_out_edges().evenly(MOST_RANKED)):
        raise CatalogueError(
            f"{version.name} has no edges that were held out of its training",
            "rank edges of your own with --edges",
        )
    graph = tested.graph
    category, marketplace = _category_and_marketplace(workspace, version, graph)
    scores = DotProducts(*(torch.from_numpy(np.array(side)) for side in (tested.source, tested.target)))
    ranks = rank_by(scores, edges.ends, graph.copurchase.matrix(graph.products))
    kinds = kinds_of(edges, tested.trained, category, marketplace)
    sources = np.unique(edges.source)
    chosen = sources[np.linspace(0, len(sources) - 1, min(LISTS, len(sources))).astype(np.int64)]
    lists = best_targets(scores, chosen, tested.trained.matrix(graph.products))
    return Sliced(version.name, slices(ranks, kinds), list_diversity(chosen, lists, category))


def kinds_of(edges: Edges, trained: Edges, category: Texts, marketplace: Texts) -> dict[str, Flags]:
    """Return which edges are of each kind: name of the kind → bool [edges].

    Args:
        edges: Edges that are ranked.
        trained: Edges that the model was trained on.
        category, marketplace: Category and marketplace of each product, [n].
    """
    products = len(category)
    outgoing = np.bincount(trained.source, minlength=products)[edges.source]
    incoming = np.bincount(trained.target, minlength=products)[edges.target]
    same_category = category[edges.source] == category[edges.target]
    thirds = np.quantile(incoming, [1 / 3, 2 / 3]) if len(edges) else np.zeros(2)
    markets = marketplace[edges.source]
    return {
        "all": np.ones(len(edges), np.bool_),
        "source in no training edge (cold start)": outgoing == 0,
        "source in 1 or 2": (outgoing > 0) & (outgoing < 3),
        "source in 3 to 9": (outgoing >= 3) & (outgoing < 10),
        "source in 10 or more": outgoing >= 10,
        "target of no training edge (cold start)": incoming == 0,
        "target among the least popular third": incoming <= thirds[0],
        "target among the middle third": (incoming > thirds[0]) & (incoming <= thirds[1]),
        "target among the most popular third": incoming > thirds[1],
        "same category": same_category,
        "another category": ~same_category,
        **{f"marketplace {market}": markets == market for market in np.unique(markets)},
    }


def slices(ranks: npt.NDArray[np.float64], kinds: Mapping[str, Flags]) -> list[Slice]:
    """Return the figures of each kind that has edges, from the ranks of all edges, [edges]."""
    rows = []
    for kind, chosen in kinds.items():
        if chosen.any():
            of_kind = ranking_metrics(ranks[chosen])
            rows.append(Slice(kind, of_kind.edges, of_kind.hits_at_10, of_kind.mrr_at_10))
    return rows


def best_targets(scores: Scores, sources: IntArray, known: sp.csr_array, batch: int = 256) -> IntArray:
    """Return the ten best targets of each source, without its known ones and itself, int64 [sources, 10].

    Memory is `batch` × the number of products.
    """
    itself = sp.eye_array(scores.products, format="csr", dtype=np.float32)
    excluded = sp.csr_array(known + itself)
    top = min(TOP, scores.products)
    best = np.empty((len(sources), top), np.int64)
    for first in range(0, len(sources), batch):
        some = sources[first : first + batch]
        block = scores.block(some, 0, scores.products)
        row, column = excluded[some].tocoo().coords
        block[torch.from_numpy(row.astype(np.int64)), torch.from_numpy(column.astype(np.int64))] = -torch.inf
        best[first : first + batch] = block.topk(top, dim=1).indices.cpu().numpy()
    return best


def list_diversity(sources: IntArray, lists: IntArray, category: Texts) -> Shown:
    """Return coverage and diversity of the lists of some sources.

    Args:
        sources: Sources, int64 [sources].
        lists: Listed products of each, int64 [sources, k].
        category: Category of each product, [n].
    """
    numbers = np.unique(category, return_inverse=True)[1]
    listed = np.sort(numbers[lists], axis=1)
    different = 1 + (np.diff(listed, axis=1) != 0).sum(axis=1)
    return Shown(
        lists=len(lists),
        coverage=len(np.unique(lists)) / len(category),
        categories=float(different.mean()),
        other_category=float((listed != numbers[sources][:, None]).mean()),
    )


def _category_and_marketplace(
    workspace: Workspace, version: Version, graph: ProductGraph
) -> tuple[Texts, Texts]:
    """Return category and marketplace of the graph's products, [n] each; empty where the snapshot lacks a product."""
    with open_snapshot(Path(version.snapshot.path)).connect(
        workspace.settings.ingest.memory_limit
    ) as connection:
        table = connection.sql(PLACES).to_arrow_table()
    rows = pc.index_in(graph.product_ids, table["product_id"].combine_chunks())
    category, marketplace = (
        pc.fill_null(table[name].combine_chunks().take(rows), "")
        .to_numpy(zero_copy_only=False)
        .astype(np.str_)
        for name in ("category", "marketplace")
    )
    return category, marketplace
