from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from registry.database import transaction
from registry.models import Release, State, Version
from twinvec import releases
from twinvec.errors import StateError, StoreError, VerificationError
from twinvec.features.store import find_service
from twinvec.releases.lookup import all_releases
from twinvec.releases.points import read_points
from twinvec.vectors import point_ids
from twinvec.vectors.locks import take_lock
from twinvec.workspace import Workspace


def test_a_published_release_is_whole_and_not_live(world: Any, either: Workspace) -> None:
    workspace = either
    steps: list[str] = []
    version = world.versions[0]
    release = releases.publish(workspace, version, lambda step, done, total: steps.append(step))

    assert (release.state, release.collection) == (State.READY, "related_products__v1")
    assert release.verification["points"] == 300
    assert release.verification["recall_at_10"] >= 0.95
    assert list(dict.fromkeys(steps)) == ["upload", "index", "verify"]
    assert workspace.index.metadata(release.collection) == {
        "manifest": version.digest,
        "version": version.name,
        "snapshot": version.snapshot_id,
        "release": "1",
    }
    points = point_ids(world.products["marketplace"], world.products["product_id"])
    source, target = workspace.index.vectors(release.collection, points)
    assert (source == world.vectors[0][0]).all()
    assert (target == world.vectors[0][1]).all()
    service = find_service(workspace.features, release.collection)
    assert service is not None
    views = {projection.name for projection in service.feature_view_projections}
    assert views == {"text__v1", "related__v1", f"products__{version.snapshot_id}"}
    assert releases.live(workspace) is None
    assert workspace.index.aliases() == {}
    assert find_service(workspace.features, release.name) is None


def test_points_carry_what_the_snapshot_says(world: Any) -> None:
    snapshot = world.workspace.snapshot()
    batches = list(read_points(snapshot, world.versions[0], "c", 64, "500MB"))
    assert max(len(batch.ids) for batch in batches) == 64
    payloads = {payload["product_id"]: payload for batch in batches for payload in batch.payloads}
    columns = world.products
    assert len(payloads) == len(columns["product_id"])
    for row, product in enumerate(columns["product_id"]):
        assert payloads[product] == {
            "product_id": product,
            "title": columns["title"][row][0][1] if columns["title"][row] else None,
            "category": columns["category"][row],
            "price": columns["price"][row],
            "marketplace": columns["marketplace"][row],
            "release": "c",
        }


def test_an_interrupted_publish_is_gone_on_with(world: Any, either: Workspace) -> None:
    workspace = either

    def interrupt(step: str, done: int, total: int) -> None:
        if step == "index":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        releases.publish(workspace, world.versions[0], interrupt)
    assert [release.state for release in all_releases(workspace)] == [State.BUILDING]

    release = releases.publish(workspace, world.versions[0])
    assert [row.number for row in all_releases(workspace)] == [release.number] == [1]
    assert workspace.index.count(release.collection) == 300


@pytest.mark.parametrize("case", ["too few", "too many", "recall"])
def test_a_failed_publish_leaves_the_live_release(
    world: Any,
    served: Workspace,
    make_version_of: Callable[[Workspace, list[str]], Version],
    monkeypatch: pytest.MonkeyPatch,
    case: str,
) -> None:
    keys = world.products["product_id"]
    version, says = world.versions[1], r"recall@10 .* is 0\.200"
    if case == "too few":
        version, says = make_version_of(served, keys[1:]), f"1 products .* have no vectors .* {keys[0]}"
    elif case == "too many":
        version, says = (
            make_version_of(served, [*keys, "stranger"]),
            "of no product in snapshot .* stranger",
        )
    else:
        monkeypatch.setattr(sys.modules["twinvec.vectors.publish"], "recall_at_10", lambda *_: 0.2)
    with pytest.raises(VerificationError, match=says):
        releases.publish(served, version)

    live, ready, failed = all_releases(served)
    assert (live.state, ready.state, failed.state) == (State.LIVE, State.READY, State.FAILED)
    assert failed.error is not None
    assert failed.error.startswith("VerificationError: ")
    assert served.index.collections() == [live.collection, ready.collection]
    assert served.index.aliases() == {live.name: live.collection}
    with pytest.raises(StateError, match="is failed: VerificationError"):
        releases.promote(served, failed)
    monkeypatch.undo()
    assert releases.publish(served, world.versions[1]).number == 4


def test_only_a_whole_related_version_is_published(world: Any, workspace: Workspace) -> None:
    with pytest.raises(StateError, match=r"text@v1 \(ready\) cannot be published"):
        releases.publish(workspace, workspace.version("text@v1"))
    with transaction(workspace.engine) as session:
        session.get_one(Version, world.versions[0].id).state = State.FAILED
        failed = session.get_one(Version, world.versions[0].id)
    with pytest.raises(StateError, match="related@v1 is failed"):
        workspace.version("related@v1")
    with pytest.raises(StateError, match=r"related@v1 \(failed\)"):
        releases.publish(workspace, failed)
    assert not all_releases(workspace)


def test_one_publishes_at_a_time(world: Any, workspace: Workspace) -> None:
    file = workspace.settings.home / "releases" / ".related_products.publish"
    with (
        take_lock(file, "it", exclusive=True),
        pytest.raises(StoreError, match=r"related_products is being .* by"),
    ):
        releases.publish(workspace, world.versions[0])
    assert not all_releases(workspace), "the one that waits its turn leaves no trace"


def test_a_collection_that_lost_points_is_not_promoted(served: Workspace) -> None:
    with transaction(served.engine) as session:
        row = session.get_one(Release, releases.find(served, "2").id)
        row.verification = {**row.verification, "points": 301}
    with pytest.raises(VerificationError, match="holds 300 points, and 301"):
        releases.promote(served, releases.find(served, "2"))
    assert served.index.aliases() == {"related_products": "related_products__v1"}
