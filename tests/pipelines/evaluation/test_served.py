"""Edges of a file, ranked by the vectors of a version, against brute force over vectors read through Feast."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore
from typer.testing import CliRunner

from pipelines.command import app
from pipelines.evaluation.served import evaluate_edges
from registry.models import Version
from twinvec import releases
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.columns import PAIRS, PRODUCTS
from twinvec.errors import CatalogueError, NotFoundError, StateError
from twinvec.progress import Progress
from twinvec.settings import Settings
from twinvec.stage import Inputs, Outcome, make_version
from twinvec.tracking import Run
from twinvec.workspace import Workspace

Pairs = list[tuple[str, str]]
# Numbers as ids, with zeros before: they are names, not numbers.
IDS = [f"{number:04}" for number in range(37)]


def ingest_pairs(workspace: Workspace, folder: Path, directed: bool) -> Snapshot:
    folder.mkdir()
    rows = [{"product_id": name, "category": [], "marketplace": "us"} for name in IDS]
    pq.write_table(pa.Table.from_pylist(rows, PRODUCTS), folder / "products.parquet")
    pairs = np.unique(np.random.default_rng(3).integers(0, len(IDS), (150, 2)), axis=0)
    listed = [
        {"source": IDS[u], "target": IDS[v], "count": 1} for u, v in pairs if u != v and (directed or u < v)
    ]
    pq.write_table(pa.Table.from_pylist(listed, PAIRS), folder / "copurchase.parquet")
    (folder / "catalogue.json").write_text(json.dumps({"copurchase_directed": directed}))
    return ingest(folder, "parquet", workspace.settings, workspace.engine).snapshot


def make_related(workspace: Workspace, snapshot: Snapshot, seed: int) -> Version:
    def train(_inputs: Inputs, _run: Run, _progress: Progress) -> Outcome:
        source, target = np.random.default_rng(seed).standard_normal((2, len(IDS), 8)).astype(np.float32)
        return Outcome(
            IDS,
            {"source_vector": source, "target_vector": target},
            "dot",
            False,
            str(seed),
            "p",
            {"edges": 5},
        )

    return make_version(Inputs(workspace, snapshot, {}), "related", str(seed), {}, train, print)


@pytest.fixture(scope="session")
def served_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """related@v1 of a directed snapshot is live; v2 of the same and v3, of an undirected one, are not."""
    folder = tmp_path_factory.mktemp("evaluation")
    workspace = Workspace(Settings(home=folder / "home", device="cpu"))
    directed = ingest_pairs(workspace, folder / "directed", directed=True)
    first = make_related(workspace, directed, 1)
    make_related(workspace, directed, 2)
    undirected = ingest_pairs(workspace, folder / "undirected", directed=False)
    make_related(workspace, undirected, 3)
    releases.promote(workspace, releases.publish(workspace, first))
    workspace.index.close()
    workspace.engine.dispose()
    return workspace.settings.home


@pytest.fixture
def workspace(served_home: Path) -> Iterator[Workspace]:
    workspace = Workspace(Settings(home=served_home, device="cpu"))
    yield workspace
    workspace.index.close()
    workspace.engine.dispose()


def write_edges(path: Path, edges: Pairs) -> Path:
    path.write_text("".join(f"{source},{target}\n" for source, target in [("source", "target"), *edges]))
    return path


def random_edges(seed: int, count: int = 60) -> Pairs:
    drawn = np.random.default_rng(seed).integers(0, len(IDS), (count, 2))
    return list(dict.fromkeys((IDS[u], IDS[v]) for u, v in drawn if u != v))


def brute_force(workspace: Workspace, version: Version, edges: Pairs) -> dict[str, float]:
    """The protocol, pair by pair, over what a colleague reads through Feast."""
    store = FeatureStore(repo_path=str(workspace.settings.home))
    wanted = pd.DataFrame({"product_id": IDS, "event_timestamp": pd.Timestamp.now(tz="UTC")})
    names = [f"{version.view}:source_vector", f"{version.view}:target_vector"]
    read = store.get_historical_features(entity_df=wanted, features=names).to_df().set_index("product_id")
    source, target = (
        dict(zip(read.index, map(np.float64, read[name]), strict=True)) for name in read.columns[-2:]
    )

    def score(u: str, v: str) -> float:
        return float(np.dot(source[u], target[v]))

    snapshot = workspace.snapshot(version.snapshot_id)
    table = pq.read_table(snapshot.table("copurchase")).to_pydict()
    known = set(zip(table["source"], table["target"], strict=True))
    if not snapshot.directed:
        known |= {(v, u) for u, v in known}
    edges = list(dict.fromkeys((u, v) for u, v in edges if u in IDS and v in IDS and u != v))
    listed = set(edges)
    ranks: npt.NDArray[np.float64] = np.array(
        [
            1 + sum(
                score(u, z) > score(u, v)
                for z in IDS
                if z not in (u, v) and (u, z) not in known and (u, z) not in listed
            )
            for u, v in edges
        ]
    )  # fmt: skip
    one_way = [(u, v) for u, v in edges if (v, u) not in known | listed]
    forward = np.array([score(u, v) for u, v in one_way])
    backward = np.array([score(v, u) for u, v in one_way])
    direction = {
        "auc_dir": float(np.mean(forward[:, None] > backward[None, :])) if one_way else 0.5,
        "right_way": float(np.mean(forward > backward)) if one_way else 0.5,
    }
    return {
        **{f"hits_at_{k}": float(np.mean(ranks <= k)) for k in (1, 3, 5, 10)},
        "mrr_at_10": float(np.mean(np.where(ranks <= 10, 1 / ranks, 0))),
        **direction,
        "edges": len(edges),
        "one_way_edges": len(one_way),
    }


@pytest.mark.parametrize("name", ["related@v1", "related@v2", "related@v3"])
def test_figures_are_those_of_brute_force(workspace: Workspace, tmp_path: Path, name: str) -> None:
    # Some edges twice or three times, some against each other, some known to the snapshot, some to the product itself.
    edges = random_edges(11)
    edges += [
        *edges[:4],
        *edges[:2],
        *[(v, u) for u, v in edges[4:8]],
        *[(name, name) for name in IDS[:3] * 2],
    ]
    version = workspace.version(name)
    table = pq.read_table(workspace.snapshot(version.snapshot_id).table("copurchase")).to_pydict()
    edges += list(zip(table["source"], table["target"], strict=True))[:5]
    found = asdict(evaluate_edges(workspace, write_edges(tmp_path / "edges.csv", edges), name))
    expected = brute_force(workspace, version, edges)
    assert {figure: found[figure] for figure in expected} == pytest.approx(expected)
    assert (found["version"], found["unknown"]) == (name, 0)
    assert (found["read"], found["loops"]) == (len(edges), 6)
    assert found["repeated"] == len(edges) - 6 - found["edges"] >= 6
    live = name == "related@v1"
    assert found["release"] == ("related_products__v1" if live else None)
    # So few products are searched exactly: what is served is what is ranked.
    assert found["served_mrr_at_10"] == (pytest.approx(expected["mrr_at_10"]) if live else None)
    assert found["served_hits_at_10"] == (pytest.approx(expected["hits_at_10"]) if live else None)
    assert found["mrr_low"] < found["mrr_at_10"] < found["mrr_high"]
    assert found["served_gain"] == (pytest.approx(0, abs=1e-12) if live else None)


def test_mined_pairs_are_known_in_both_directions(workspace: Workspace, tmp_path: Path) -> None:
    version = workspace.version("related@v3")
    table = pq.read_table(workspace.snapshot(version.snapshot_id).table("copurchase")).to_pydict()
    against = [(v, u) for u, v in zip(table["source"], table["target"], strict=True)]
    found = evaluate_edges(workspace, write_edges(tmp_path / "edges.csv", against), "related@v3")
    assert found.edges == len(against)
    assert found.one_way_edges == 0
    expected = brute_force(workspace, version, against)
    assert {figure: asdict(found)[figure] for figure in expected} == pytest.approx(expected)


def test_the_live_release_is_judged_and_unknown_ends_are_counted(
    workspace: Workspace, tmp_path: Path
) -> None:
    edges = random_edges(12, 20)
    unknown = [("nothing", IDS[0]), (IDS[0], "nothing"), ("7", IDS[1]), ("nothing", "nothing")]
    found = evaluate_edges(workspace, write_edges(tmp_path / "edges.csv", edges + unknown))
    assert (found.version, found.release) == ("related@v1", "related_products__v1")
    assert (found.edges, found.unknown) == (len(edges), 4)
    alone = evaluate_edges(workspace, write_edges(tmp_path / "alone.csv", edges))
    assert {**asdict(found), "unknown": 0, "read": len(edges)} == asdict(alone)


def test_loops_and_repeats_change_no_figure(workspace: Workspace, tmp_path: Path) -> None:
    edges = random_edges(17, 20)
    plain = asdict(evaluate_edges(workspace, write_edges(tmp_path / "plain.csv", edges)))
    more = [(edges[0][0], edges[0][0]), *edges, *edges[:5], edges[0], (IDS[9], IDS[9])]
    found = asdict(evaluate_edges(workspace, write_edges(tmp_path / "more.csv", more)))
    assert found == {**plain, "read": len(edges) + 8, "loops": 2, "repeated": 6}
    loops = write_edges(tmp_path / "loops.csv", [(name, name) for name in IDS[:4]])
    with pytest.raises(CatalogueError, match=r"none of the 4 edges .*and 4 lead from a product to itself"):
        evaluate_edges(workspace, loops)


def test_other_columns_and_other_orders_of_them_do_not_matter(workspace: Workspace, tmp_path: Path) -> None:
    edges = random_edges(13, 20)
    plain = evaluate_edges(workspace, write_edges(tmp_path / "edges.csv", edges))
    rows = "".join(f"{v};x;{u}\r\n" for u, v in edges)
    (tmp_path / "other.csv").write_text(f"\ufefftarget;weight;source\r\n{rows}", encoding="utf-8")
    assert evaluate_edges(workspace, tmp_path / "other.csv") == plain


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("from,to\na,b\n", "has the columns from, to", "source and target"),
        ("source,target\nx,y\nz,0001\n", "none of the 2 edges", "right snapshot"),
        ("source,target\n", "none of the 0 edges", "right snapshot"),
        ("", "", "source and target"),
        ("source,target\n\"open,x\n", "", "source and target|right snapshot"),
    ],
    ids=["columns", "no overlap", "no rows", "empty", "open quote"],
)  # fmt: skip
def test_a_file_that_cannot_be_judged_is_explained(
    workspace: Workspace, tmp_path: Path, text: str, says: str, hint: str
) -> None:
    path = tmp_path / "edges.csv"
    path.write_text(text)
    with pytest.raises(CatalogueError) as raised:
        evaluate_edges(workspace, path)
    assert str(path) in raised.value.message
    assert says in raised.value.message
    assert any(part in raised.value.hint for part in hint.split("|"))


def test_bytes_that_are_no_text_are_explained(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "edges.csv"
    path.write_bytes(b"source,target\n\xff\xfe\x00,\x80\n" * 3)
    with pytest.raises(CatalogueError, match=r"edges\.csv"):
        evaluate_edges(workspace, path)


def test_what_is_not_there_is_named(workspace: Workspace, tmp_path: Path) -> None:
    write_edges(tmp_path / "edges.csv", random_edges(14, 5))
    with pytest.raises(NotFoundError, match=r"no file .*edge.csv\n.*did you mean edges.csv\?"):
        evaluate_edges(workspace, tmp_path / "edge.csv")
    with pytest.raises(NotFoundError, match="no file"):
        evaluate_edges(workspace, tmp_path)
    with pytest.raises(NotFoundError, match="no version related@v9"):
        evaluate_edges(workspace, tmp_path / "edges.csv", "related@v9")


def test_a_version_that_failed_is_not_judged(workspace: Workspace, tmp_path: Path) -> None:
    def train(_inputs: Inputs, _run: Run, _progress: Progress) -> Outcome:
        raise RuntimeError("it broke")

    with pytest.raises(RuntimeError):
        make_version(Inputs(workspace, workspace.snapshot(), {}), "related", "", {}, train, print)
    edges = write_edges(tmp_path / "edges.csv", random_edges(15, 5))
    with pytest.raises(StateError, match=r"related@v4 is failed: RuntimeError: it broke"):
        evaluate_edges(workspace, edges, "related@v4")


def test_the_command_prints_the_figures(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINVEC_HOME", str(workspace.settings.home))
    monkeypatch.setenv("TWINVEC_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    path = write_edges(tmp_path / "edges.csv", [*random_edges(16), ("x", "y")])
    command = CliRunner()
    shown = command.invoke(app, ["evaluate", "related", "--edges", "edges.csv", "--json"])
    assert shown.exit_code == 0, shown.stderr
    assert json.loads(shown.stdout) == asdict(evaluate_edges(workspace, path))
    named = command.invoke(app, ["evaluate", "related@v2", "--edges", "edges.csv", "--json"])
    assert json.loads(named.stdout) == asdict(evaluate_edges(workspace, path, "related@v2"))
    table = command.invoke(app, ["evaluate", "--edges", "edges.csv"])
    assert "related@v1 on edges.csv" in table.stdout
    assert "mrr_at_10" in table.stdout
    recorded = json.loads(command.invoke(app, ["evaluate", "--json"]).stdout)
    assert recorded == {"version": "related@v1", "edges": 5}
    missing = command.invoke(app, ["evaluate", "--edges", "nothing.csv"])
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "error: there is no file nothing.csv" in missing.stderr
