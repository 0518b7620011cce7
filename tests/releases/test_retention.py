"""Retention: what is removed, what never is, and how a prune ends that was killed."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from pipelines.command import app
from registry import journal, operations
from registry.database import held, transaction
from registry.models import State, Version
from tests import forked
from tests.releases import pruner
from twinvec import releases, tracking
from twinvec.errors import StateError
from twinvec.releases.retention import leftovers, prune
from twinvec.releases.storage import size_of
from twinvec.serving.related import Recommender
from twinvec.settings.stores import RetentionSettings
from twinvec.tracking import registered_models
from twinvec.vectors.edge import EdgeIndex
from twinvec.workspace import Workspace

NAME = "related_products"
ONE = RetentionSettings(releases=1, versions=1)
# Release 4 is live and made from related@v4 and text@v1; a rollback goes to 3, of related@v3 and text@v3.
REMOVED = {f"{NAME}@v1", f"{NAME}@v2", "related@v1", "related@v2", "text@v2"}
KEPT = {f"{NAME}@v3", f"{NAME}@v4", "related@v3", "related@v4", "text@v1", "text@v3"}


def states(workspace: Workspace) -> dict[str, str]:
    with transaction(workspace.engine) as session:
        return {
            **{version.name: version.state.value for version in operations.versions(session)},
            **{each.label: each.state.value for each in operations.releases(session, NAME)},
        }


def stored(workspace: Workspace) -> dict[str, set[str]]:
    """Return what each store has, by name."""
    home = workspace.settings.home
    return {
        "collections": set(workspace.index.collections()),
        "views": {view.name for view in workspace.features.list_feature_views()},
        "sources": {source.name for source in workspace.features.list_data_sources()},
        "services": {service.name for service in workspace.features.list_feature_services()},
        "folders": {
            str(folder.relative_to(home))
            for pattern in ("versions/*/*", "qdrant/*")
            for folder in home.glob(pattern)
            if folder.is_dir() and folder.name != ".locks"
        },
        "models": set(registered_models(workspace.settings, {"text", "related"})),
    }


def answers(workspace: Workspace, product: str) -> object:
    """Return what the live release answers, from Qdrant and from the online store."""
    found = Recommender(workspace.index, NAME, 64).related(product, 5)
    service = workspace.features.get_feature_service(NAME)
    row = workspace.features.get_online_features(service, [{"product_id": product}]).to_dict()
    return [hit.product.product_id for hit in found.hits], row


def test_old_releases_and_versions_leave_every_store(world: Any, anywhere: Workspace) -> None:
    old = anywhere
    product = world.products["product_id"][5]
    before, sizes = answers(old, product), size_of(old.settings.home / "versions")
    planned = prune(old, ONE, dry_run=True)
    assert set(states(old).values()) == {"ready", "live", "retired"}, "a dry run changes nothing"
    done = prune(old, ONE)
    assert [(each.what, each.of, each.size) for each in done.taken] == [
        (each.what, each.of, each.size) for each in planned.taken
    ]
    assert not done.left
    assert {name for name, state in states(old).items() if state == "removed"} == REMOVED
    assert planned.plan.kept.keys() >= KEPT
    assert planned.plan.kept["text@v1"] == "related@v4 was made from it"
    assert planned.plan.kept[f"{NAME}@v3"] == "what a rollback goes back to"
    scalars = f"products__{world.versions[0].snapshot_id}"
    assert stored(old) == {
        "collections": {f"{NAME}__v3", f"{NAME}__v4"},
        "views": {"related__v3", "related__v4", "text__v1", "text__v3", scalars, "products_history"},
        "sources": {"related__v3", "related__v4", "text__v1", "text__v3", scalars, "products_history"},
        "services": {NAME, f"{NAME}__v3", f"{NAME}__v4"},
        "folders": {
            "versions/related/v3", "versions/related/v4", "versions/text/v1", "versions/text/v3",
            f"versions/products/{world.versions[0].snapshot_id}",
            f"qdrant/{NAME}__v3", f"qdrant/{NAME}__v4",
        },
        "models": {"models:/text/1"},
    }  # fmt: skip
    freed = {store: sum(each.size or 0 for each in done.taken if each.store == store) for store in STORES}
    assert freed["files"] == sizes - size_of(old.settings.home / "versions")
    assert all(freed.values()), freed
    assert answers(old, product) == before
    assert releases.rollback(old).label == f"{NAME}@v3"
    assert answers(old, product) != before
    again = prune(old, ONE)
    assert [*again.taken, *again.left, *again.plan.releases, *again.plan.versions] == []


STORES = ("online store", "Qdrant", "MLflow", "files")


def test_the_row_stays_with_its_figures_lineage_and_history(old: Workspace) -> None:
    prune(old, ONE)
    with transaction(old.engine) as session:
        version = operations.find_version(session, "related@v2")
        assert version is not None
        assert version.metrics == {"mrr_at_10": 0.25}
        assert [parent.name for parent in version.inputs] == ["text@v2"]
        moves = operations.moves(session, [version, *operations.releases_of(session, [version])])
        told = {move.what: move.why for move in moves if move.after == State.REMOVED}
    assert told == {
        "related@v2": "not among the last 1 of its space, nor needed",
        f"{NAME}@v2": "not among the last 1 releases, nor needed",
    }
    assert MlflowClient().get_run(str(version.run_id)).data.metrics["best/mrr_at_10"] == 0.25
    with pytest.raises(StateError, match="related@v2 is removed"):
        old.version("related@v2")
    with pytest.raises(StateError, match=r"related_products@v2 is removed"):
        releases.promote(old, releases.find(old, "2"))
    releases.rollback(old)
    with pytest.raises(StateError, match="no release of related_products to go back to"):
        releases.rollback(old)


def test_what_is_needed_is_kept(anywhere: Workspace) -> None:
    old = anywhere
    """By a training under way, an alias in MLflow, a release of another name, a publish that was interrupted."""
    tracking.set_alias(old.settings, "models:/related/2", "champion")
    with transaction(old.engine) as session:
        first = operations.find_version(session, "related@v1")
        assert first is not None
        operations.begin_version(session, "aligned", first.snapshot_id, "f", [first], "/nowhere/v{number}")
        text = operations.find_version(session, "text@v2")
        assert text is not None
        operations.begin_release(session, "another", text)
    kept = prune(old, ONE, dry_run=True).plan.kept
    assert kept["related@v1"] == "aligned@v1 was made from it"
    assert kept["related@v2"] == "MLflow's champion is its model"
    assert kept["text@v2"] in ("another@v1 serves it", "related@v2 was made from it")
    done = prune(old, ONE)
    assert [each.label for each in done.plan.releases] == [f"{NAME}@v1", f"{NAME}@v2"]
    assert not done.plan.versions
    assert {each.store for each in done.taken} == {"Feast", "Qdrant"}


def test_a_model_that_versions_share_goes_with_the_last_of_them(old: Workspace) -> None:
    with transaction(old.engine) as session:
        kept, removed = (operations.find_version(session, f"related@v{number}") for number in (4, 1))
        assert kept is not None
        assert removed is not None
        kept.model_uri = removed.model_uri
    prune(old, ONE)
    assert "models:/related/1" in stored(old)["models"]
    assert states(old)["related@v1"] == "removed"


def test_a_copied_home_gives_up_its_own_files_alone(world: Any, served: Workspace) -> None:
    first_home = world.workspace.settings.home
    assert first_home != served.settings.home
    releases.promote(served, releases.find(served, "2"), force=True)
    for space in ("text", "related"):
        tracking.remove_alias(served.settings, space, tracking.PREVIOUS)
    with transaction(served.engine) as session:
        first = operations.find_version(session, "related@v1")
        assert first is not None
        row = session.get_one(Version, first.id)
        for release in operations.releases_of(session, [row]):
            release.promoted_at = None  # not what a rollback goes back to
    done = prune(served, ONE)
    assert [version.name for version in done.plan.versions] == ["text@v1", "related@v1"]
    assert done.left == []
    assert not (served.settings.home / "versions" / "text" / "v1").exists()
    assert (first_home / "versions" / "text" / "v1").is_dir()


def test_snapshots_go_only_if_asked_and_never_what_is_needed(
    old: Workspace, world: Any, tmp_path: Path
) -> None:
    from twinvec.catalogue.ingest import ingest
    from twinvec.catalogue.synthetic.store import generate

    needed = world.versions[0].snapshot_id
    made = []
    for seed in (8, 9):
        generate(tmp_path / str(seed), 200, seed=seed, images=False)
        made.append(ingest(tmp_path / str(seed), "parquet", old.settings, old.engine).snapshot)
    spare, newest = made
    assert [each.id for each in prune(old, ONE).plan.snapshots] == [spare.id]
    assert spare.path.is_dir()
    done = prune(old, ONE, snapshots=True)
    assert [each.what for each in done.taken] == [str(spare.path)]
    assert not spare.path.exists()
    assert newest.path.is_dir()
    assert (old.settings.home / "snapshots" / needed).is_dir()
    again = ingest(tmp_path / "8", "parquet", old.settings, old.engine).snapshot
    assert again.id == spare.id
    assert again.path.is_dir()


def test_a_collection_that_is_read_stays_until_the_next_time(
    old: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qdrant_edge

    from twinvec.vectors.locks import take_lock

    assert qdrant_edge
    vars(old)["index"] = EdgeIndex(old.settings.home / "qdrant", patience=0.1)
    lock = old.settings.home / "qdrant" / ".locks" / f"{NAME}__v1"
    with take_lock(lock, "it", exclusive=False):
        done = prune(old, ONE)
    assert [(left.holding.what) for left in done.left] == [f"collection {NAME}__v1"]
    assert "is being read or written by this process" in done.left[0].why
    assert f"{NAME}__v1" in old.index.collections()
    assert [each.what for each in leftovers(old)] == [f"collection {NAME}__v1"]
    assert [each.what for each in prune(old, ONE).taken] == [f"collection {NAME}__v1"]
    assert f"{NAME}__v1" not in old.index.collections()


def test_it_waits_for_no_switch(old: Workspace) -> None:
    with (
        held(old.engine, journal.lock_name(NAME)),
        pytest.raises(StateError, match="is being switched"),
    ):
        prune(old, ONE)
    assert "removed" not in states(old).values()


def test_the_command_tells_what_it_would_do_and_did(old: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    old.index.close()
    monkeypatch.setenv("TWINVEC_HOME", str(old.settings.home))
    few = ["prune", "--keep-releases", "1", "--keep-versions", "1"]
    told = CliRunner().invoke(app, [*few, "--dry-run"], catch_exceptions=False)
    assert told.exit_code == 0, told.stderr
    assert "Would be removed: related_products@v1, related_products@v2" in told.stdout
    assert "what a rollback goes back to" in told.stdout
    done = json.loads(CliRunner().invoke(app, [*few, "--json"], catch_exceptions=False).stdout)
    assert {*done["releases"], *done["versions"]} == REMOVED
    assert done["bytes"] == sum(each["bytes"] for each in done["freed"]) > 100_000
    nothing = CliRunner().invoke(app, ["prune"], catch_exceptions=False)
    assert "Removed: nothing" in nothing.stdout


KILLS = [
    "move after 5",  # of five, in one transaction
    "source before",  # rows online are gone, the view is not
    "view after 2",
    "rename after",  # a collection is hidden for being deleted
    "drop after",
    "logged before",  # the files of a model are gone
    "model-version before",
    "rename after 3",  # a folder is hidden for being deleted
    "folder after 2",
]


@pytest.mark.slow
def test_a_prune_that_was_killed_is_finished_by_the_next(
    old: Workspace, aged: tuple[Path, Path], restore_home: Callable[..., None]
) -> None:
    home = aged[0]
    product = old.index.search(f"{NAME}__v4", np.ones((1, 12), np.float32), 1)[0][0].product_id
    before = answers(old, product)
    assert prune(old, ONE).left == []
    wanted = stored(old)
    for kill in KILLS:
        restore_home(*aged)
        ended = forked.run(pruner.prune, str(home), kill)
        assert ended.status == -signal.SIGKILL, (kill, ended)
        assert answers(old, product) == before, kill
        # Whoever finds a version or a release to read finds all of it.
        there = stored(old)
        for name, state in states(old).items():
            space, number = name.split("@v")
            if state != "removed" and space != NAME:
                assert f"versions/{space}/v{number}" in there["folders"], (kill, name)
                assert f"{space}__v{number}" in there["views"], (kill, name)
            elif state != "removed":
                assert f"{NAME}__v{number}" in there["collections"] & there["services"], (kill, name)
        assert prune(old, ONE).left == [], kill
        assert stored(old) == wanted, kill
        assert {name for name, state in states(old).items() if state == "removed"} == REMOVED, kill
        assert [*home.glob("versions/*/.*"), *home.glob("qdrant/.related*")] == [], kill
        assert leftovers(old) == [], kill
    sys.stdout.write(f"\n{len(KILLS)} prunes killed, each finished by the next\n")
