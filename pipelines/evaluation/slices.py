"""Where a model is good and where it is not: its figures by kind of edge, and how much of the catalogue it shows."""

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
from twinvec.metrics.ranking import rank_by, ranking_metrics
from twinvec.metrics.scores import DotProducts, Scores
from twinvec.workspace import Workspace

Flags = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Texts = npt.NDArray[np.str_]
TOP = 10
# Sources whose lists are looked at for coverage and diversity, at most.
LISTS = 20_000
PLACES = "SELECT product_id, marketplace, array_to_string(category, ' > ') AS category FROM products"


@dataclass(frozen=True)
class Slice:
    """Edges of one kind, and how well their targets are found among all products.

    Attributes:
        kind: of the edges.
        edges: how many of the edges are of it.
        hits_at_10, mrr_at_10: means over these.
    """

    kind: str
    edges: int
    hits_at_10: float
    mrr_at_10: float


@dataclass(frozen=True)
class Shown:
    """What the lists of ten that a model gives consist of.

    Attributes:
        lists: that were looked at, one a source.
        coverage: share of all products that are in one of them at least.
        categories: different categories in a list, on average.
        other_category: share of the products in a list that are of another category than the source.
    """

    lists: int
    coverage: float
    categories: float
    other_category: float


@dataclass(frozen=True)
class Sliced:
    """A version's slices, and what it shows."""

    version: str
    slices: list[Slice]
    shown: Shown


def evaluate_slices(workspace: Workspace, version: Version) -> Sliced:
    """Rank the test edges of a version of `related` by the vectors it was tested with, by kind of edge.

    Raises:
        CatalogueError: if all its edges were trained on.
    """
    tested = read_tested(workspace, version)
    if tested is None or not len(edges := tested.test_edges()):
        raise CatalogueError(
            f"{version.name} has no edges that were held out of its training",
            "rank edges of your own with --edges",
        )
    graph = tested.graph
    category, marketplace = _places(workspace, version, graph)
    scores = DotProducts(*(torch.from_numpy(np.array(side)) for side in (tested.source, tested.target)))
    ranks = rank_by(scores, edges.ends, graph.copurchase.matrix(graph.products))
    kinds = kinds_of(edges, tested.trained, category, marketplace)
    asked = np.unique(edges.source)
    chosen = asked[np.linspace(0, len(asked) - 1, min(LISTS, len(asked))).astype(np.int64)]
    lists = best_targets(scores, chosen, tested.trained.matrix(graph.products))
    return Sliced(version.name, slices(ranks, kinds), what_is_shown(chosen, lists, category))


def kinds_of(edges: Edges, trained: Edges, category: Texts, marketplace: Texts) -> dict[str, Flags]:
    """Which of the edges are of which kind, by name, bool [edges].

    Args:
        edges: that are ranked.
        trained: on which the model was trained.
        category, marketplace: of each product, [n].
    """
    products = len(category)
    leads = np.bincount(trained.source, minlength=products)[edges.source]
    led_to = np.bincount(trained.target, minlength=products)[edges.target]
    alike = category[edges.source] == category[edges.target]
    thirds = np.quantile(led_to, [1 / 3, 2 / 3]) if len(edges) else np.zeros(2)
    places = marketplace[edges.source]
    return {
        "all": np.ones(len(edges), np.bool_),
        "source in no training edge (cold start)": leads == 0,
        "source in 1 or 2": (leads > 0) & (leads < 3),
        "source in 3 to 9": (leads >= 3) & (leads < 10),
        "source in 10 or more": leads >= 10,
        "target of no training edge (cold start)": led_to == 0,
        "target among the least popular third": led_to <= thirds[0],
        "target among the middle third": (led_to > thirds[0]) & (led_to <= thirds[1]),
        "target among the most popular third": led_to > thirds[1],
        "same category": alike,
        "another category": ~alike,
        **{f"marketplace {place}": places == place for place in np.unique(places)},
    }


def slices(ranks: npt.NDArray[np.float64], kinds: Mapping[str, Flags]) -> list[Slice]:
    """Figures of the edges of each kind that has any, from the ranks of all, [edges]."""
    found = []
    for kind, chosen in kinds.items():
        if chosen.any():
            of_kind = ranking_metrics(ranks[chosen])
            found.append(Slice(kind, of_kind.edges, of_kind.hits_at_10, of_kind.mrr_at_10))
    return found


def best_targets(scores: Scores, sources: IntArray, known: sp.csr_array, batch: int = 256) -> IntArray:
    """The ten best targets of each source, its known ones and itself left out, int64 [sources, 10].

    Memory is `batch` × the number of products.
    """
    itself = sp.eye_array(scores.products, format="csr", dtype=np.float32)
    excluded = sp.csr_array(known + itself)
    top = min(TOP, scores.products)
    found = np.empty((len(sources), top), np.int64)
    for first in range(0, len(sources), batch):
        some = sources[first : first + batch]
        block = scores.block(some, 0, scores.products)
        row, column = excluded[some].tocoo().coords
        block[torch.from_numpy(row.astype(np.int64)), torch.from_numpy(column.astype(np.int64))] = -torch.inf
        found[first : first + batch] = block.topk(top, dim=1).indices.cpu().numpy()
    return found


def what_is_shown(sources: IntArray, lists: IntArray, category: Texts) -> Shown:
    """What the lists of some sources, int64 [sources, k], consist of; `category` is of each product, [n]."""
    numbers = np.unique(category, return_inverse=True)[1]
    listed = np.sort(numbers[lists], axis=1)
    different = 1 + (np.diff(listed, axis=1) != 0).sum(axis=1)
    return Shown(
        lists=len(lists),
        coverage=len(np.unique(lists)) / len(category),
        categories=float(different.mean()),
        other_category=float((listed != numbers[sources][:, None]).mean()),
    )


def _places(workspace: Workspace, version: Version, graph: ProductGraph) -> tuple[Texts, Texts]:
    """Category and marketplace of the products of a graph, [n] each; empty where a product is no longer known."""
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
