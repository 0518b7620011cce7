"""Gates before a promotion: what they measure, against loops over everything, and what they refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from pipelines.command import app
from pipelines.graph import pipeline as graph_pipeline
from pipelines.graph.product_graph import ProductGraph, Split, load_graph
from pipelines.related.held_out import TESTED, compare
from registry import operations
from registry.database import transaction
from registry.models import State, Version
from tests.homes import copied
from twinvec import dag, releases
from twinvec.catalogue.ingest import ingest
from twinvec.features.store import find_service
from twinvec.releases.changes import changed_top_10, covered, gone
from twinvec.releases.gates import GateError, Quality, measure
from twinvec.releases.lookup import all_releases
from twinvec.releases.refresh import refresh
from twinvec.settings import GateSettings, Settings
from twinvec.stage import Inputs, make_version
from twinvec.workspace import Workspace

Floats = npt.NDArray[np.float32]
Pairs = set[tuple[str, str]]
NAME = "related_products"
LOOSE: dict[str, Any] = {
    "max_mrr_drop": 1, "max_hits_drop": 1, "max_auc_drop": 1, "min_coverage": 0, "max_gone": 1,
    "max_changed": 1, "min_edges": 1,
}  # fmt: skip


def graph_of(workspace: Workspace, snapshot_id: str) -> Version:
    inputs = Inputs(workspace, workspace.snapshot(snapshot_id), {})
    return make_version(inputs, "graph", snapshot_id, {}, graph_pipeline.train, print)


def pairs(graph: ProductGraph, *splits: Split) -> Pairs:
    ids = graph.product_ids.to_pylist()
    edges = graph.edges(*splits)
    return {(ids[u], ids[v]) for u, v in zip(edges.source, edges.target, strict=True)}


def factors(graph: ProductGraph, noise: float, seed: int) -> tuple[Floats, Floats]:
    """Vectors whose products are close to the edges, more or less."""
    left, values, right = np.linalg.svd(graph.copurchase.matrix(graph.products).toarray())
    random = np.random.default_rng(seed)
    weight = np.sqrt(values[:12])
    source, target = (
        (side * weight + noise * random.standard_normal(side.shape)).astype(np.float32)
        for side in (left[:, :12], right[:12].T)
    )
    return source, target


def judged_by_loops(
    vectors: tuple[Floats, Floats], ids: list[str], edges: Pairs, known: Pairs
) -> dict[str, float]:
    """MERLIN 4.1.4, edge by edge."""
    place = {product: row for row, product in enumerate(ids)}
    source, target = (side.astype(np.float64) for side in vectors)

    def score(u: str, v: str) -> float:
        return float(source[place[u]] @ target[place[v]])

    ranks = [
        1 + sum(score(u, z) > score(u, v) for z in ids if z not in (u, v) and (u, z) not in known)
        for u, v in sorted(edges)
    ]
    one_way = [(u, v) for u, v in sorted(edges) if (v, u) not in known]
    scores = [score(u, v) for u, v in one_way] + [score(v, u) for u, v in one_way]
    truth = [1] * len(one_way) + [0] * len(one_way)
    return {
        "mrr_at_10": float(np.mean([1 / rank if rank <= 10 else 0 for rank in ranks])),
        "hits_at_10": float(np.mean([rank <= 10 for rank in ranks])),
        "auc_dir": float(roc_auc_score(truth, scores)),
        "one_way_edges": len(one_way),
    }


class Shop:
    """Two snapshots, a graph of each, and releases: a good one, one at random with zeros, one of fewer products."""

    def __init__(self, world: Any, folder: Path, make: Callable[..., Version]) -> None:
        world.copied(folder / "home")
        self.home = folder / "home"
        workspace = Workspace(Settings(home=self.home, ranking={"required": False}))
        store = shutil.copytree(world.workspace.settings.home.parent / "store", folder / "store")
        snapshot = workspace.snapshot()
        self.ids: list[str] = world.products["product_id"]
        products = pq.read_table(store / "products.parquet")
        kept = np.random.default_rng(7).permutation(len(self.ids))[:200]
        fewer = products.take(np.sort(kept))
        pq.write_table(fewer, store / "products.parquet")
        self.fewer: list[str] = sorted(fewer["product_id"].to_pylist())
        first_graph = graph_of(workspace, snapshot.id)
        later = ingest(store, "parquet", workspace.settings, workspace.engine).snapshot
        later_graph = graph_of(workspace, later.id)
        self.graphs = tuple(load_graph(Path(graph.path)) for graph in (first_graph, later_graph))
        random = np.random.default_rng(11)
        source, target = (random.standard_normal((len(self.ids), 12)).astype(np.float32) for _ in range(2))
        target[:30] = 0
        bad = source, target
        self.vectors = (factors(self.graphs[0], 0.05, 1), bad, factors(self.graphs[1], 0.3, 2))
        # The good one was trained again on all edges, and says with what it was tested.
        self.tested = factors(self.graphs[0], 0.1, 3)
        write = partial(self._write, self.tested)
        off = {"related": {"refit": False}}
        make = partial(make, workspace, "related", model=False)
        self.versions = (
            make(self.ids, 21, first_graph, vectors=self.vectors[0], write=write),
            make(self.ids, 22, first_graph, vectors=self.vectors[1], parameters=off),
            make(self.fewer, 23, later_graph, vectors=self.vectors[2], parameters=off),
        )
        self.update = make(self.ids, 24, first_graph, frozen=self.versions[0])
        for version in self.versions:
            releases.publish(workspace, version)
        releases.promote(workspace, releases.find(workspace, "1"))
        workspace.index.close()
        workspace.engine.dispose()

    @cached_property
    def by_loops(self) -> tuple[dict[str, float], dict[str, float]]:
        """The first and the second version on the test edges of their graph."""
        test, known = pairs(self.graphs[0], Split.TEST), pairs(self.graphs[0], *Split)
        return (
            judged_by_loops(self.tested, self.ids, test, known),
            judged_by_loops(self.vectors[1], self.ids, test, known),
        )

    @staticmethod
    def _write(vectors: tuple[Floats, Floats], folder: Path) -> None:
        np.save(folder / TESTED, np.stack(vectors))


@pytest.fixture(scope="module")
def shop(world: Any, make_any: Callable[..., Version], tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(world, tmp_path_factory.mktemp("shop"), make_any)


@pytest.fixture
def opened(shop: Shop) -> Iterator[Callable[..., Workspace]]:
    """Open the home with these gates, to read."""
    made: list[Workspace] = []

    def call(home: Path = shop.home, **gates: Any) -> Workspace:
        made.append(Workspace(Settings(home=home, gates=GateSettings(**gates), ranking={"required": False})))
        return made[-1]

    yield call
    for workspace in made:
        workspace.index.close()
        workspace.engine.dispose()


@pytest.fixture
def home(shop: Shop, tmp_path: Path) -> Path:
    """A copy of the home, to change."""
    return copied(shop.home, tmp_path / "home")


def standing(workspace: Workspace) -> dict[str, object]:
    """All that a promotion changes."""
    service = find_service(workspace.features, NAME)
    found = all_releases(workspace)
    with transaction(workspace.engine) as session:
        moves = len(operations.moves(session, found))
    return {
        "releases": [(release.label, release.state, release.verification) for release in found],
        "moves": moves,
        "alias": workspace.index.aliases(),
        "service": service and service.tags["collection"],
    }


def judged(quality: Quality, which: str) -> dict[str, float]:
    figures = {gate.figure: getattr(gate, which) for gate, _ in quality.gates}
    return {**figures, "one_way_edges": quality.one_way_edges}


def test_quality_is_that_of_a_loop_on_the_same_edges(shop: Shop, opened: Callable[..., Workspace]) -> None:
    found = compare(opened(), shop.versions[1], shop.versions[0])
    assert found.edges == len(pairs(shop.graphs[0], Split.TEST)) > 100
    live, new = shop.by_loops
    assert judged(found, "live") == pytest.approx(live)
    assert judged(found, "new") == pytest.approx(new)
    few = compare(opened(edges=37), shop.versions[1], shop.versions[0])
    assert few.edges == 37


def test_of_two_snapshots_the_new_edges_are_taken_that_neither_was_trained_on(
    shop: Shop, opened: Callable[..., Workspace]
) -> None:
    old, new = shop.graphs
    trained = pairs(old, Split.TRAIN)
    there = set(shop.fewer)
    learned = trained | {(v, u) for u, v in trained}
    test = pairs(new, Split.TEST) - learned
    assert 0 < len(test) < len(pairs(new, Split.TEST))
    known = pairs(new, *Split) | {(u, v) for u, v in trained if {u, v} <= there}
    found = compare(opened(), shop.versions[2], shop.versions[0])
    assert found.edges == len(test)
    shared = [shop.ids.index(product) for product in shop.fewer]
    live = shop.tested[0][shared], shop.tested[1][shared]
    assert judged(found, "new") == pytest.approx(judged_by_loops(shop.vectors[2], shop.fewer, test, known))
    assert judged(found, "live") == pytest.approx(judged_by_loops(live, shop.fewer, test, known))


def test_a_version_that_may_have_learned_all_edges_is_not_judged(
    world: Any, shop: Shop, opened: Callable[..., Workspace]
) -> None:
    workspace = opened()
    (Path(shop.versions[0].path) / TESTED).rename(shop.home / "kept.npy")
    found = compare(workspace, shop.versions[1], shop.versions[0])
    (shop.home / "kept.npy").rename(Path(shop.versions[0].path) / TESTED)
    assert found.gates == ()
    assert found.remark is not None
    assert "none is left between products of both versions on which neither" in found.remark
    # An update is judged as the version whose model it has, and never as the better one.
    update = compare(workspace, shop.versions[1], shop.update)
    assert update == compare(workspace, shop.versions[1], shop.versions[0])
    assert compare(workspace, shop.update, shop.versions[0]).gates == ()
    without = compare(workspace, shop.versions[1], world.versions[0])
    assert (
        without.remark
        == f"quality was not compared: {world.versions[0].name} was made from no graph with edges"
    )


def test_coverage_and_changed_answers_are_those_of_a_loop(
    shop: Shop, opened: Callable[..., Workspace]
) -> None:
    workspace = opened(sample=120)
    assert covered(workspace, shop.versions[0]) == 1
    assert covered(workspace, shop.versions[1]) == pytest.approx(270 / 300)
    assert gone(workspace, shop.versions[2], shop.versions[0]) == pytest.approx(100 / 300)
    assert gone(workspace, shop.versions[0], shop.versions[2]) == 0

    def best(which: int, product: str) -> set[str]:
        ids = shop.fewer if which == 2 else shop.ids
        source, target = shop.vectors[which]
        scores = target @ source[ids.index(product)]
        order = [ids[row] for row in np.argsort(-scores) if ids[row] != product]
        return set(order[:10])

    first, _, third = (releases.find(workspace, number) for number in "123")
    # Of more products than there are, all are taken.
    everything = opened(sample=1000)
    share = np.mean([1 - len(best(0, each) & best(2, each)) / 10 for each in shop.fewer])
    assert 0.1 < share < 0.99
    assert changed_top_10(everything, third, first) == pytest.approx(share)
    assert changed_top_10(workspace, third, first) == pytest.approx(share, abs=0.1)
    assert changed_top_10(workspace, first, first) == 0


@pytest.mark.parametrize(
    ("number", "bounds", "figure"),
    [
        ("2", {"max_mrr_drop": 0.15}, "mrr_at_10"),
        ("2", {"max_hits_drop": 0.15}, "hits_at_10"),
        ("2", {"max_auc_drop": 0.05}, "auc_dir"),
        ("2", {"min_coverage": 0.95}, "coverage"),
        ("3", {"max_gone": 0.3}, "gone"),
        ("3", {"max_changed": 0.05}, "changed_top_10"),
    ],
)
def test_each_figure_refuses_and_is_named(
    shop: Shop, opened: Callable[..., Workspace], number: str, bounds: dict[str, float], figure: str
) -> None:
    workspace = opened(**{**LOOSE, **bounds})
    before = standing(workspace)
    with pytest.raises(GateError) as refusal:
        releases.promote(workspace, releases.find(workspace, number), judge=compare)
    assert standing(workspace) == before
    (failing,) = refusal.value.outcome.failing
    assert failing.figure == figure
    ((setting, bound),) = bounds.items()
    said = str(refusal.value)
    assert f"{NAME}@v{number} was not promoted, and {NAME}@v1 stays live: 1 of 6 figures" in said
    assert f"{figure} {failing.new:.4f}" in said
    assert f"(gates.{setting} {bound:g})" in said
    assert f"`twinvec promote {number} --force`" in said
    if number == "2" and figure != "coverage":
        live, new = (figures[figure] for figures in shop.by_loops)
        least = live - bound if figure == "auc_dir" else live * (1 - bound)
        assert f"{figure} {new:.4f}, live {live:.4f}, at least {least:.4f}" in said


def test_what_passes_is_promoted_and_its_figures_are_kept(
    home: Path, opened: Callable[..., Workspace]
) -> None:
    workspace = opened(home, **LOOSE | {"max_gone": 0.5, "max_changed": 0.95})
    promoted = releases.promote(workspace, releases.find(workspace, "3"), judge=compare)
    assert promoted.state == State.LIVE
    kept = promoted.verification["gates"]
    assert (kept["live"], kept["forced"], kept["remark"]) == (f"{NAME}@v1", False, None)
    names = ["mrr_at_10", "hits_at_10", "auc_dir", "coverage", "gone", "changed_top_10"]
    assert [gate["figure"] for gate in kept["figures"]] == names
    assert all(gate["passed"] for gate in kept["figures"])
    assert promoted.verification["points"] == 200
    # The way back has no gates, whatever they would say.
    strict = opened(home, max_changed=0, max_gone=0)
    assert releases.rollback(strict).label == f"{NAME}@v1"
    assert "forced" not in history(strict)[-1]


def test_with_few_edges_quality_is_shown_and_refuses_nothing(
    shop: Shop, opened: Callable[..., Workspace]
) -> None:
    workspace = opened(min_edges=100_000, min_coverage=0)
    second, first = releases.find(workspace, "2"), releases.find(workspace, "1")
    outcome = measure(workspace, second, first, compare)
    assert not outcome.failing
    assert [gate.figure for gate in outcome.shown] == ["mrr_at_10", "hits_at_10", "auc_dir"]
    assert not any(gate.passed for gate in outcome.shown)
    assert outcome.remark == "too few held-out edges to judge by: gates.min_edges 100000"
    # The first of all has nothing to be compared with but its own snapshot.
    alone = measure(opened(), second, None, compare)
    assert [(gate.figure, gate.live) for gate in alone.failing] == [("coverage", None)]
    assert len(alone.gates) == 1


def history(workspace: Workspace) -> list[str]:
    with transaction(workspace.engine) as session:
        return [move.why for move in operations.moves(session, operations.releases(session, NAME))]


def test_the_command_refuses_and_force_is_recorded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINVEC_HOME", str(home))
    monkeypatch.setenv("TWINVEC_GATES__MIN_EDGES", "50")
    run = partial(CliRunner().invoke, app)
    refused = run(["promote", "2", "--json"])
    assert refused.exit_code == 1
    assert not refused.stdout
    assert f"error: {NAME}@v2 was not promoted" in refused.stderr
    for figure in ("mrr_at_10", "hits_at_10", "auc_dir", "coverage"):
        assert figure in refused.stderr
    forced = run(["promote", "2", "--force", "--why", "the old ones are recalled", "--json"])
    assert forced.exit_code == 0, forced.stderr
    kept = json.loads(forced.stdout)["verification"]["gates"]
    assert kept["forced"]
    failing = [gate["figure"] for gate in kept["figures"] if not gate["passed"]]
    assert failing == ["mrr_at_10", "hits_at_10", "auc_dir", "coverage"]
    traced = json.loads(run(["lineage", f"{NAME}@v2", "--json"]).stdout)
    why = traced["history"][-1]["why"]
    assert why.startswith("the old ones are recalled; forced over mrr_at_10 0.")
    assert "coverage 0.9000, live 1.0000, at least 0.9500 (gates.min_coverage 0.95)" in why
    assert "forced over" in run(["lineage", f"{NAME}@v2"]).stdout
    table = run(["promote", "1"]).stdout
    assert f"Gates (beside {NAME}@v2)" in table
    assert "gates.max_mrr_drop 0.15" in table


def test_a_run_that_gates_refuse_leaves_its_release_ready(
    home: Path, shop: Shop, opened: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The road is left out: it would train for a minute."""
    made = dag.Step("related", shop.versions[1], True, 1.0, "out of date")
    monkeypatch.setattr(dag, "run", lambda *_arguments: [made])
    monkeypatch.setenv("TWINVEC_HOME", str(home))
    monkeypatch.setenv("TWINVEC_RANKING__REQUIRED", "false")
    result = CliRunner().invoke(app, ["run", "--json"])
    assert result.exit_code == 1
    assert "was not promoted" in result.stderr
    said = json.loads(result.stdout)
    assert (said["live"], said["refused"]) == (f"{NAME}__v1", f"{NAME}@v2")
    failing = [gate["figure"] for gate in said["gates"]["figures"] if gate["passed"] is False]
    assert failing == ["mrr_at_10", "hits_at_10", "auc_dir", "coverage"]
    workspace = opened(home)
    assert releases.find(workspace, "2").state == State.READY
    lenient = opened(home, **LOOSE)
    found = refresh(lenient, lenient.snapshot())
    assert found.refused is None
    assert found.live is not None
    assert found.live.label == f"{NAME}@v2"
