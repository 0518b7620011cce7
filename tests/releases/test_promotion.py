from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from pipelines.command import app
from registry import journal, operations
from registry.database import transaction
from registry.models import Release, State, Version
from tests.releases.standing import NAME, agreed, standing, unfinished
from twinvec import releases, tracking
from twinvec.errors import NotFoundError, StateError, StoreError
from twinvec.features.store import find_service
from twinvec.releases import promotion, stores
from twinvec.settings import RegistrySettings
from twinvec.workspace import Workspace


def put_live(workspace: Workspace, version: Version) -> Release:
    return releases.promote(workspace, releases.publish(workspace, version))


def test_promotion_switches_everything_together(world: Any, either: Workspace) -> None:
    workspace = either
    scalars = f"products__{world.versions[0].snapshot_id}"
    first = put_live(workspace, world.versions[0])
    assert first.state == State.LIVE
    assert standing(workspace) == {
        "registry": f"{NAME}__v1",
        "registry alias": f"{NAME}__v1",
        "states": ["live"],
        "index": f"{NAME}__v1",
        "service": f"{NAME}__v1",
        "views": [scalars, "related__v1", "text__v1"],
        "text live": "models:/text/1",
        "text previous": None,
        "related live": "models:/related/1",
        "related previous": None,
    }
    put_live(workspace, world.versions[1])
    assert standing(workspace) == {
        "registry": f"{NAME}__v2",
        "registry alias": f"{NAME}__v2",
        "states": ["retired", "live"],
        "index": f"{NAME}__v2",
        "service": f"{NAME}__v2",
        "views": [scalars, "related__v2", "text__v2"],
        # This release has no text model: the live one must not name that of another.
        "text live": None,
        "text previous": "models:/text/1",
        "related live": "models:/related/2",
        "related previous": "models:/related/1",
    }


def test_features_of_the_live_release_are_online(world: Any, served: Workspace) -> None:
    product = world.products["product_id"][7]
    for which in (0, 1):
        releases.promote(served, releases.find(served, str(which + 1)))
        service = find_service(served.features, NAME)
        assert service is not None
        row = served.features.get_online_features(service, [{"product_id": product}]).to_dict()
        assert row["source_vector"][0] == pytest.approx(world.vectors[which][0][7].tolist())


@pytest.fixture
def break_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make one step of a promotion fail, before or after it has done its work, once."""

    def call(step: str) -> None:
        name, _, when = step.partition(" ")
        owner, function = {
            "online": (promotion, "_put_online"),
            "journal": (journal, "begin"),
            "service": (stores, "set_service"),
            "model": (tracking, "set_alias"),
            "unalias": (tracking, "remove_alias"),
            "alias": (stores, "set_alias"),
            "reach": (journal, "reach"),
            "strike": (journal, "end"),
            "registry": (operations, "make_live"),
        }[name]
        original = getattr(owner, function)

        def fails(*arguments: Any) -> None:
            monkeypatch.setattr(owner, function, original)
            if when == "after":
                original(*arguments)
            raise RuntimeError("injected")

        monkeypatch.setattr(owner, function, fails)

    return call


UNSEEN = [
    *(
        f"{step} {when}"
        for step in ("online", "journal", "service", "model", "unalias", "reach")
        for when in ("before", "after")
    ),
    "alias before",
]
SEEN = ["alias after", "strike before", "strike after", "registry before", "registry after"]


@pytest.mark.parametrize("first", [False, True])
def test_a_failure_before_queries_follow_the_new_release_undoes_all(
    first: bool, request: pytest.FixtureRequest, world: Any, break_at: Callable[[str], None]
) -> None:
    workspace: Workspace = request.getfixturevalue("workspace" if first else "served")
    release = releases.publish(workspace, world.versions[0]) if first else releases.find(workspace, "2")
    before = standing(workspace)
    assert (before["registry"] is None) == first
    for step in UNSEEN:
        break_at(step)
        with pytest.raises(RuntimeError, match="injected"):
            releases.promote(workspace, release)
        assert standing(workspace) == before, step
        assert not unfinished(workspace), step
    assert releases.promote(workspace, release).state == State.LIVE


@pytest.mark.parametrize("first", [False, True])
def test_a_failure_after_that_is_overcome(
    first: bool, request: pytest.FixtureRequest, world: Any, break_at: Callable[[str], None]
) -> None:
    workspace: Workspace = request.getfixturevalue("workspace" if first else "served")
    if first:
        releases.publish(workspace, world.versions[0])
        releases.publish(workspace, world.versions[1])
    for which, step in enumerate(SEEN):
        release = releases.find(workspace, str((which if first else which + 1) % 2 + 1))
        break_at(step)
        assert releases.promote(workspace, release).state == State.LIVE
        assert agreed(workspace) == release.collection, step
        assert not unfinished(workspace), step


def test_what_cannot_be_put_back_is_settled_by_the_next_command(
    served: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = standing(served)

    def refuse(*_arguments: object) -> None:
        raise StoreError("Qdrant does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(stores, "set_alias", refuse)
        with pytest.raises(
            StoreError, match=r"switch to related_products@v2 failed .* could not be finished"
        ):
            releases.promote(served, releases.find(served, "2"))
        with pytest.raises(StoreError, match="Qdrant does not answer"):
            releases.settle(served)
    assert standing(served) != before
    said = releases.settle(served)
    assert said is not None
    assert re.fullmatch(
        r"the switch to related_products@v2 that \S+@\S+ began at .* UTC was interrupted at the step alias: "
        "it was undone",
        said,
    )
    assert standing(served) == before
    assert releases.settle(served) is None


def test_the_next_command_settles_and_says_so(served: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the command then does; here, there is nothing to publish."""
    before = standing(served)

    def die(*_arguments: object) -> None:
        raise StoreError("Feast does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(stores, "set_service", die)
        with pytest.raises(StoreError, match="could not be finished or undone"):
            releases.promote(served, releases.find(served, "2"))
    assert unfinished(served)
    monkeypatch.setenv("TWINVEC_HOME", str(served.settings.home))
    served.index.close()
    result = CliRunner().invoke(app, ["publish", "related@v1", "--json"])
    assert result.exit_code == 0, result.stderr
    assert "was interrupted at the step feature service: it was undone" in result.stderr
    assert json.loads(result.stdout)["release"] == f"{NAME}@v1"
    assert standing(served) == before
    assert not unfinished(served)


def test_an_interruption_settles_and_goes_on(served: Workspace) -> None:
    before = standing(served)

    def interrupt(at: str) -> Callable[[str, int, int], None]:
        def progress(step: str, _done: int, _total: int) -> None:
            if step == at:
                raise KeyboardInterrupt

        return progress

    with pytest.raises(KeyboardInterrupt):
        releases.promote(served, releases.find(served, "2"), interrupt("alias"))
    assert standing(served) == before
    with pytest.raises(KeyboardInterrupt):
        releases.promote(served, releases.find(served, "2"), interrupt("registry"))
    assert agreed(served) == f"{NAME}__v2"


def test_who_comes_second_is_told_who_was_first(served: Workspace) -> None:
    """Another promotes while we fill the online store: ours was decided on what is not live any more."""
    second = releases.find(served, "2")

    def overtake(step: str, _done: int, _total: int) -> None:
        if step == "online related__v2" and agreed(served) == f"{NAME}__v1":
            releases.promote(served, second)

    with pytest.raises(
        StateError, match=r"@v2 is live, switched to after this began with related_products@v1"
    ):
        releases.promote(served, second, overtake)
    assert agreed(served) == f"{NAME}__v2"

    def meddle(step: str, _done: int, _total: int) -> None:
        if step == "models":
            with pytest.raises(StateError, match=r"cannot be switched now: \S+ is switching to .*@v1"):
                releases.rollback(served)
            assert releases.settle(served) is None, "what is under way is not settled by others"

    releases.promote(served, releases.find(served, "1"), meddle)
    assert agreed(served) == f"{NAME}__v1"


def test_the_history_says_who_and_why(served: Workspace) -> None:
    named = Workspace(served.settings.model_copy(update={"registry": RegistrySettings(user="ada")}))
    releases.promote(named, releases.find(named, "2"), why="mrr 0.31 against 0.25")
    releases.rollback(named)
    with transaction(named.engine) as session:
        found = operations.moves(session, operations.releases(session, NAME))
    told = [(move.what, str(move.after), move.why) for move in found if move.who == "ada"]
    assert told == [
        (f"{NAME}@v1", "retired", f"{NAME}@v2 took its place"),
        (f"{NAME}@v2", "live", "mrr 0.31 against 0.25"),
        (f"{NAME}@v2", "retired", f"{NAME}@v1 took its place"),
        (f"{NAME}@v1", "live", f"rolled back from {NAME}@v2"),
    ]
    assert all(move.run_id for move in found)
    named.index.close()
    named.engine.dispose()


def test_a_model_that_is_gone_is_explained(served: Workspace) -> None:
    before = standing(served)
    MlflowClient().delete_model_version("related", "2")
    with pytest.raises(StateError, match="is not registered in MLflow any more"):
        releases.promote(served, releases.find(served, "2"))
    assert standing(served) == before


def test_rolling_back_goes_back_one_release_each_time(
    world: Any, either: Workspace, make_version_of: Callable[[Workspace, list[str]], Version]
) -> None:
    with pytest.raises(StateError, match="none is live, and none was live before"):
        releases.rollback(either)
    for version in (*world.versions, make_version_of(either, world.products["product_id"])):
        put_live(either, version)
    assert agreed(either) == f"{NAME}__v3"
    for number in (2, 1):
        release = releases.rollback(either)
        assert release.number == number
        assert agreed(either) == release.collection
    now = standing(either)
    assert now["related live"] == "models:/related/1"
    assert now["related previous"] == "models:/related/2"
    with pytest.raises(StateError, match=r"related_products@v1 is live, and none"):
        releases.rollback(either)
    releases.promote(either, releases.find(either, "v3"))
    last = standing(either)
    assert last["states"] == ["retired", "retired", "live"]
    # The models of the release that was live before, whichever that was; this one has none.
    assert (last["text previous"], last["related previous"]) == ("models:/text/1", "models:/related/1")
    assert (last["text live"], last["related live"]) == (None, None)


def test_promoting_the_live_release_again_mends_what_differs(served: Workspace) -> None:
    whole = standing(served)
    served.index.switch_alias(NAME, f"{NAME}__v2")
    served.features.delete_feature_service(NAME)
    tracking.set_alias(served.settings, "models:/related/2", tracking.LIVE)
    assert standing(served) != whole
    releases.promote(served, releases.find(served, "1"))
    assert standing(served) == whole


def test_releases_are_found_by_name_and_the_newest_waits(world: Any, served: Workspace) -> None:
    ready = releases.find(served, "2")
    for name in ("related_products@v2", "related_products__v2", "v2", "2"):
        assert releases.find(served, name).id == ready.id
    for name in ("3", "v"):
        with pytest.raises(NotFoundError, match=r"there are: related_products@v1, related_products@v2"):
            releases.find(served, name)
    for name in ("other@v2", "related@v2"):
        with pytest.raises(NotFoundError, match="there are: related_products, search_relevance, seller"):
            releases.find(served, name)
    assert releases.waiting(served).id == ready.id
    releases.promote(served, ready)
    with pytest.raises(NotFoundError, match=r"related_products@v2 is live, and nothing newer is ready"):
        releases.waiting(served)
    newest = releases.newest_of(served, world.versions[0])
    assert newest is not None
    assert (newest.number, newest.state) == (1, State.RETIRED)
