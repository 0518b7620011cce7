from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event

from registry import operations
from registry.database import transaction
from registry.models import Release, State, Version
from twinvec import releases, tracking
from twinvec.errors import NotFoundError, StateError, StoreError
from twinvec.features.store import find_service
from twinvec.releases import promotion
from twinvec.releases.lookup import all_releases
from twinvec.workspace import Workspace

NAME = "related_products"


def standing(workspace: Workspace) -> dict[str, object]:
    """What is live, as each store tells it."""
    service = find_service(workspace.features, NAME)
    with transaction(workspace.engine) as session:
        aliases = operations.aliases(session)
    live = releases.live(workspace)
    models = {
        f"{space} {alias}": tracking.alias_uri(workspace.settings, space, alias)
        for space in ("text", "related")
        for alias in (tracking.LIVE, tracking.PREVIOUS)
    }
    return {
        "registry": live and live.collection,
        "registry alias": aliases.get(NAME),
        "states": [release.state.value for release in all_releases(workspace)],
        "index": workspace.index.aliases().get(NAME),
        "service": service and service.tags["collection"],
        "views": service and sorted(projection.name for projection in service.feature_view_projections),
        **models,
    }


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
        row = served.features.get_online_features(service, [{"product_id": product}]).to_dict()
        assert row["source_vector"][0] == pytest.approx(world.vectors[which][0][7].tolist())


@pytest.fixture
def break_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Workspace, str], None]:
    """Make one step of a promotion fail, before or after it has done its work, once."""

    def call(workspace: Workspace, step: str) -> None:
        place, _, when = step.partition(" ")
        if place == "commit":

            @event.listens_for(workspace.engine, "commit", once=True)
            def fail(_connection: object) -> None:
                raise RuntimeError("injected")

            return
        owner, name = {
            "online": (promotion, "_put_online"),
            "registry": (operations, "make_live"),
            "service": (promotion, "_switch_service"),
            "models": (tracking, "set_alias"),
            "unalias": (tracking, "remove_alias"),
            "alias": (workspace.index, "switch_alias"),
        }[place]
        original = getattr(owner, name)

        def fails(*arguments: Any) -> None:
            monkeypatch.setattr(owner, name, original)
            if when == "after":
                original(*arguments)
            raise RuntimeError("injected")

        monkeypatch.setattr(owner, name, fails)

    return call


STEPS = [
    f"{step} {when}"
    for step in ("online", "registry", "service", "models", "unalias", "alias")
    for when in ("before", "after")
]


def test_a_failure_at_any_step_leaves_the_old_release_live(
    served: Workspace, break_at: Callable[[Workspace, str], None]
) -> None:
    before = standing(served)
    second = releases.find(served, "2")
    for step in [*STEPS, "commit"]:
        break_at(served, step)
        with pytest.raises(RuntimeError, match="injected"):
            releases.promote(served, second)
        assert standing(served) == before, step

    assert releases.promote(served, second).state == State.LIVE
    after = standing(served)
    assert {after[name] for name in ("registry", "registry alias", "index", "service")} == {second.collection}


def test_a_first_promotion_that_fails_leaves_nothing_live(
    world: Any, workspace: Workspace, break_at: Callable[[Workspace, str], None]
) -> None:
    release = releases.publish(workspace, world.versions[0])
    before = standing(workspace)
    break_at(workspace, "alias before")
    with pytest.raises(RuntimeError, match="injected"):
        releases.promote(workspace, release)
    assert standing(workspace) == before
    assert before["service"] is None


def test_a_model_that_is_gone_is_explained(served: Workspace) -> None:
    before = standing(served)
    tracking.MlflowClient().delete_model_version("related", "2")
    with pytest.raises(StoreError, match="MLflow refused to move"):
        releases.promote(served, releases.find(served, "2"))
    assert standing(served) == before


def test_rolling_back_goes_back_one_release_each_time(world: Any, either: Workspace) -> None:
    with pytest.raises(StateError, match="none is live, and none was live before"):
        releases.rollback(either)
    for which in (0, 1, 0):
        put_live(either, world.versions[which])
    third = standing(either)
    for number in (2, 1):
        release = releases.rollback(either)
        assert release.number == number
        now = standing(either)
        assert {now[name] for name in ("registry", "registry alias", "index", "service")} == {
            release.collection
        }
    assert now["related live"] == "models:/related/1"
    assert now["related previous"] == "models:/related/2"
    with pytest.raises(StateError, match=r"related_products@v1 is live, and none"):
        releases.rollback(either)
    releases.promote(either, releases.find(either, "v3"))
    assert standing(either) == {**third, "states": ["retired", "retired", "live"]}


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
    for name in ("3", "other@v2", "related@v2", "v"):
        with pytest.raises(NotFoundError, match=r"there are: related_products@v1, related_products@v2"):
            releases.find(served, name)
    assert releases.waiting(served).id == ready.id
    releases.promote(served, ready)
    with pytest.raises(NotFoundError, match=r"related_products@v2 is live, and nothing newer is ready"):
        releases.waiting(served)
    newest = releases.newest_of(served, world.versions[0])
    assert newest is not None
    assert (newest.number, newest.state) == (1, State.RETIRED)
