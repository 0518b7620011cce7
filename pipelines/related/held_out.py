"""Comparison of two versions of `related` on the same edges, on which neither was trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from pipelines.graph.product_graph import Edges, ProductGraph, Split, load_graph
from pipelines.graph.renumbering import renumbered, row_of
from registry.models import Version
from twinvec.features.manifest import Manifest
from twinvec.features.reading import read_vectors
from twinvec.metrics.direction import direction_metrics
from twinvec.metrics.ranking import rank_targets, ranking_metrics
from twinvec.nn.device import resolve_device
from twinvec.releases.gates import Gate, Quality, named
from twinvec.releases.lookup import lineage
from twinvec.settings import GateSettings
from twinvec.tracking import run_parameters
from twinvec.workspace import Workspace

# File in the folder of a version whose own vectors were trained on the test edges as well: the vectors it was tested
# with, float32 [2, products, dimension], sources first, in the order of its graph.
TESTED = "tested.npy"
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """Quality of a version on held-out edges: ranking by exact search, and direction."""

    mrr_at_10: float
    hits_at_10: float
    auc_dir: float


@dataclass(frozen=True)
class Tested:
    """The graph of a version, and the vectors that were trained without its test edges, if there are such.

    Attributes:
        graph: Graph that the version was made from.
        source, target: Vectors of the graph's products, float32 [products, d].
        present: Mask of the products that have vectors, bool [products].
        trained: Co-purchase edges that these vectors were trained on.
    """

    graph: ProductGraph
    source: FloatArray
    target: FloatArray
    present: npt.NDArray[np.bool_]
    trained: Edges

    def held_out_edges(self) -> Edges:
        """Return the test edges of the graph; none if these vectors were trained on all edges."""
        edges = self.graph.edges(Split.TEST)
        return edges.evenly(0) if len(self.trained) == len(self.graph.copurchase) else edges


@dataclass(frozen=True)
class Common:
    """Ground for a comparison of two versions: products of both, and edges that neither was trained on.

    Attributes:
        ours, other: Graphs and vectors of the new and of the live version.
        rows: Numbers of the common products in the graph of each, int64 [products].
        edges: Edges to rank, between the common products, numbered by their place in `rows`.
        known: Pairs that no ranking counts, nonzero where a pair is known, float32 [products, products].
    """

    ours: Tested
    other: Tested
    rows: tuple[IntArray, IntArray]
    edges: Edges
    known: sp.csr_array


def compare(workspace: Workspace, new: Version, live: Version) -> Quality:
    """Rank the same edges by both versions, among the products that both have.

    They are the test edges of the new version's graph, less those that the live version was trained on, in either
    direction. Both versions are judged by the vectors they were tested with: those they serve were, unless
    `related.refit` is off, trained again on all edges. Left out of the ranking are all edges of the new graph and
    those that the live version was trained on. In place of a live version that an update made, the one whose model it
    has is judged.

    Returns:
        The figures, of at most `gates.edges` edges, or why there are none.
    """
    settings = workspace.settings
    common = find_common(workspace, new, live)
    if isinstance(common, str):
        return Quality(remark=common)
    device, edges, known = resolve_device(settings.device), common.edges, common.known
    new_figures, one_way = judge(common.ours, common.rows[0], edges, known, device)
    live_figures, _ = judge(common.other, common.rows[1], edges, known, device)
    return Quality(
        tuple(gates_of(settings.gates, new_figures, live_figures, len(edges), one_way)), len(edges), one_way
    )


def find_common(workspace: Workspace, new: Version, live: Version) -> Common | str:
    """Return what two versions are compared on by `compare`, or why they cannot be."""
    settings = workspace.settings
    for version in (new, live):
        if Manifest.from_json(version.manifest).imported:
            return (
                f"quality was not compared: {version.name} was imported, and it is not known which edges it was "
                "trained on; `twinvec evaluate related --edges FILE` measures it on edges of yours"
            )
    while (frozen := Manifest.from_json(live.manifest).frozen) is not None:
        live = workspace.version(frozen)
    ours, other = read_tested(workspace, new), read_tested(workspace, live)
    if ours is None or other is None:
        without = new if ours is None else live
        return f"quality was not compared: {without.name} was made from no graph with edges"
    there = row_of(ours.graph, other.graph.product_ids)
    rows = np.flatnonzero((there >= 0) & ours.present & other.present[there])
    products = len(rows)
    numbers = numbers_of(rows, ours.graph.products), numbers_of(there[rows], other.graph.products)
    trained = renumbered(ours.trained, numbers[0]), renumbered(other.trained, numbers[1])
    known = renumbered(ours.graph.copurchase, numbers[0]).matrix(products) + trained[1].matrix(products)
    seen = sum((edges.both_ways().matrix(products) for edges in trained), sp.csr_array((products, products)))
    edges = _without(renumbered(ours.graph.edges(Split.TEST), numbers[0]), seen).evenly(settings.gates.edges)
    if not len(edges):
        return (
            f"quality was not compared: of the test edges of {new.name}, none is left between products of "
            f"both versions on which neither {new.name} nor {live.name} was trained"
        )
    return Common(ours, other, (rows, there[rows]), edges, known)


def gates_of(
    settings: GateSettings, new: Judged, live: Judged, edges: int, one_way: int
) -> Iterator[tuple[Gate, int]]:
    """Yield every figure with its bound, and the number of edges that it was measured on."""
    for figure, least, setting, count in (
        ("mrr_at_10", live.mrr_at_10 * (1 - settings.max_mrr_drop), "max_mrr_drop", edges),
        ("hits_at_10", live.hits_at_10 * (1 - settings.max_hits_drop), "max_hits_drop", edges),
        ("auc_dir", live.auc_dir - settings.max_auc_drop, "max_auc_drop", one_way),
    ):
        bound = named(settings, setting)
        yield Gate(figure, getattr(new, figure), getattr(live, figure), least, None, bound), count


def judge(
    tested: Tested, rows: IntArray, edges: Edges, known: sp.csr_array, device: torch.device
) -> tuple[Judged, int]:
    """Return the figures of the vectors in these rows, and the number of edges that have a direction."""
    source, target = (
        torch.from_numpy(vectors[rows]).to(device) for vectors in (tested.source, tested.target)
    )
    ranking = ranking_metrics(rank_targets(source, target, edges.ends, known))
    direction = direction_metrics(source, target, edges.ends, known)
    return Judged(ranking.mrr_at_10, ranking.hits_at_10, direction.auc_dir), direction.one_way_edges


def read_tested(workspace: Workspace, version: Version) -> Tested | None:
    """Read the graph and the vectors that a version is judged by; None if it was made without a graph."""
    digest = Manifest.from_json(version.manifest).graph
    graphs = [
        each for each in lineage(workspace, version.id) if each.space == "graph" and each.digest == digest
    ]
    if not graphs:
        return None
    graph = load_graph(Path(graphs[-1].path))
    file = Path(version.path) / TESTED
    if file.is_file():
        source, target = np.load(file, mmap_mode="r")
        everything = np.ones(graph.products, np.bool_)
        return Tested(graph, source, target, everything, graph.edges(Split.TRAIN))
    read = read_vectors(workspace.features, version, graph.product_ids.to_pylist())
    source, target = read.fields.values()
    # A version whose run does not record this setting was made in another way, perhaps from all edges.
    tested = run_parameters(workspace.settings, version.run_id).get("related.refit") == "False"
    trained = graph.edges(Split.TRAIN) if tested else graph.copurchase
    return Tested(graph, source, target, read.present, trained)


def numbers_of(rows: IntArray, products: int) -> IntArray:
    """Return the position of each product in `rows`, int64 [products], −1 where it is not among them."""
    numbers = np.full(products, -1)
    numbers[rows] = np.arange(len(rows))
    return numbers


def _without(edges: Edges, seen: sp.csr_array) -> Edges:
    return edges.only(np.asarray(seen[edges.source, edges.target]).ravel() == 0)
