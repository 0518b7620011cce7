from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.command import app
from registry import operations
from registry.database import migrate, open_engine, transaction
from registry.models import Release, Snapshot, State, Version
from registry.snapshots import record_snapshot
from twinvec.errors import NotFoundError
from twinvec.releases.lineage import depths, trace
from twinvec.releases.picture import HEIGHT, WIDTH, layout
from twinvec.settings import Settings
from twinvec.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A diamond: graph → text, image → aligned → related (also from the graph) → two releases; one failed text."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    engine = open_engine(settings.registry_url())
    migrate(engine)
    with transaction(engine) as session:
        for letter in "ab":
            snapshot = Snapshot(
                id=letter * 16, path="/", source="shop", format="parquet", products=3, report={}
            )
            record_snapshot(session, snapshot)

        def make(space: str, *inputs: Version, snapshot: str = "a", state: State = State.READY) -> Version:
            version = operations.begin_version(session, space, snapshot * 16, "f", inputs, f"/{space}")
            version.run_id = f"run of {version.name}"
            operations.move(session, version, state, "trained")
            return version

        def release(version: Version, why: str) -> Release:
            made = operations.begin_release(session, "related_products", version)
            operations.move(session, made, State.READY, "verified")
            operations.make_live(session, made, why, "ada@engine")
            return made

        graph = make("graph")
        text, image = make("text", graph), make("image", graph)
        aligned = make("aligned", text, image)
        related = make("related", graph, aligned)
        make("text", graph, state=State.FAILED)
        make("related", make("graph", snapshot="b"), aligned, snapshot="b")
        release(related, "first")
        release(related, "again")
    return Workspace(settings)


def test_both_ways(workspace: Workspace) -> None:
    found = trace(workspace, "aligned@v1")
    names = [node.name for node in found.nodes.values()]
    assert names == [
        "a" * 16, "graph@v1", "text@v1", "image@v1", "aligned@v1", "related@v1", "b" * 16, "related@v2",
        "related_products@v1", "related_products@v2",
    ]  # fmt: skip
    assert set(found.edges) == {
        (f"snapshot {'a' * 16}", "version graph@v1"),
        ("version graph@v1", "version text@v1"),
        ("version graph@v1", "version image@v1"),
        ("version text@v1", "version aligned@v1"),
        ("version image@v1", "version aligned@v1"),
        ("version aligned@v1", "version related@v1"),
        ("version graph@v1", "version related@v1"),
        ("version aligned@v1", "version related@v2"),
        (f"snapshot {'b' * 16}", "version related@v2"),
        ("version related@v1", "release related_products@v1"),
        ("version related@v1", "release related_products@v2"),
    }
    assert len(found.edges) == 11
    assert depths(found)["release related_products@v1"] == 5


def test_a_release_is_made_into_nothing(workspace: Workspace) -> None:
    found = trace(workspace, "related_products@v1")
    assert (found.about.kind, found.about.state, found.about.run) == (
        "release",
        "retired",
        "run of related@v1",
    )
    assert found.made_into(found.about.key) == []
    assert "related_products@v2" not in [node.name for node in found.nodes.values()]
    assert [(str(move.after), move.why, move.who) for move in found.history][-2:] == [
        ("live", "first", "ada@engine"),
        ("retired", "related_products@v2 took its place", "ada@engine"),
    ]


def test_what_failed_can_be_asked_for_and_what_never_was_cannot(workspace: Workspace) -> None:
    assert trace(workspace, "text@v2").about.state == "failed"
    assert trace(workspace, "text").about.name == "text@v1"
    for name in ("text@v3", "sound", "related_products@v9"):
        with pytest.raises(NotFoundError, match=f"no version and no release {name}"):
            trace(workspace, name)


def test_boxes_do_not_overlap_and_arrows_point_right(workspace: Workspace) -> None:
    found = trace(workspace, "graph@v1")
    places = layout(found)
    assert places.keys() == found.nodes.keys()
    for one, (x, y) in places.items():
        for other, (x2, y2) in places.items():
            assert one == other or abs(x - x2) >= WIDTH or abs(y - y2) >= HEIGHT, (one, other)
    assert all(places[parent][0] + WIDTH < places[child][0] for parent, child in found.edges)


@pytest.fixture
def run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TWINVEC_HOME", str(workspace.settings.home))
    return lambda *arguments: CliRunner().invoke(app, ["lineage", *arguments])


def test_the_command_prints_two_trees_and_the_history(run: Any) -> None:
    said = run("related@v1").stdout
    earlier, _, later = said.partition("related@v1 was made into")
    assert earlier.startswith("related@v1 was made from")
    assert earlier.count("snapshot aaaaaaaaaaaaaaaa") == 1, "what was shown is not shown again"
    assert "graph@v1, ready" in earlier
    assert "(see above)" in earlier
    assert "related_products@v2, live" in later
    assert "took its place" in later
    assert "run of related@v1" in later


def test_the_command_prints_json(run: Any) -> None:
    told = json.loads(run("aligned", "--json").stdout)
    assert told["about"]["name"] == "aligned@v1"
    made = [edge["made"]["name"] for edge in told["edges"] if edge["made_from"] == told["about"]]
    assert made == ["related@v1", "related@v2"]
    assert {"what", "before", "after", "at", "who", "why", "run_id"} == told["history"][0].keys()


def test_the_command_draws(run: Any, tmp_path: Path) -> None:
    for suffix, magic in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        file = tmp_path / f"picture{suffix}"
        assert run("related@v1", "--picture", str(file)).exit_code == 0
        assert file.read_bytes().startswith(magic)
    assert ET.parse(tmp_path / "picture.svg").getroot().tag.endswith("svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picture.pdf", "picture.png", "picture.svg"]

    refused = run("related@v1", "--picture", str(tmp_path / "picture.gif"))
    assert refused.exit_code == 2
    assert "--picture" in refused.stderr
    missing = run("related@v1", "--picture", str(tmp_path / "nowhere" / "picture.png"))
    assert "there is no folder" in missing.stderr
