from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from qdrant_client import QdrantClient

from registry.database import transaction
from registry.models import Release, State, Version
from twinvec import releases
from twinvec.errors import StateError, StoreError, VerificationError
from twinvec.features.store import find_service
from twinvec.releases import smoke
from twinvec.releases.lookup import all_releases
from twinvec.releases.points import read_points
from twinvec.settings import QdrantSettings, Settings
from twinvec.vectors import point_ids
from twinvec.vectors.locks import take_lock
from twinvec.vectors.publish import SupersededError
from twinvec.vectors.recall import RecallQuery
from twinvec.vectors.server import ServerIndex
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
    batches = list(
        read_points(snapshot, world.versions[0], ("source_vector", "target_vector"), "c", 64, "500MB")
    )
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
            "currency": columns["currency"][row],
            "brand": columns["brand"][row],
            "image": columns["image"][row],
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
        with transaction(served.engine) as session:  # else the release that is ready would do
            session.get_one(Release, 2).verification = {"points": 300}
        monkeypatch.setattr(RecallQuery, "recall", lambda *_: 0.2)
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
    assert releases.publish(served, world.versions[1]).number == (4 if case == "recall" else ready.number)


def test_only_a_whole_related_version_is_published(world: Any, workspace: Workspace) -> None:
    with pytest.raises(
        StateError, match=r"versions of text are not released\n.*related, relevance, sellers, similar"
    ):
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


def recorded(workspace: Workspace, number: int) -> dict[str, Any]:
    return dict(releases.find(workspace, str(number)).verification)


def test_what_was_verified_is_kept_with_the_release(world: Any, served: Workspace) -> None:
    found = recorded(served, 2)
    assert (found["points"], found["nonzero"], found["recall_at_10"]) == (300, 1.0, 1.0)
    assert found["ef"] == served.index.search_ef("related_products__v2") == 128
    tried = {name.split("=")[0] for name in found["filters"]}
    assert tried == {"category", "marketplace", "price"}
    assert all(filter_["recall_at_10"] >= 0.95 for filter_ in found["filters"].values())
    markets = world.products["marketplace"]
    assert {name: tried["products"] for name, tried in found["filters"].items() if "market" in name} == {
        f"marketplace={market}": markets.count(market) for market in set(markets)
    }
    assert len(found["smoke"]) == 20
    source, target = world.vectors[1]
    ids = world.products["product_id"]
    for product, hits in found["smoke"].items():
        scores = target @ source[ids.index(product)]
        assert [id_ for id_, _ in hits] == [ids[row] for row in np.argsort(-scores)[:10]]


def test_another_quantisation_makes_another_release(world: Any, workspace: Workspace) -> None:
    def published(**qdrant: Any) -> Release:
        settings = QdrantSettings.model_validate({"full_scan_threshold": 1, "verify_sample": 20, **qdrant})
        changed = Workspace(workspace.settings.model_copy(update={"qdrant": settings}))
        release = releases.publish(changed, world.versions[0])
        notes = changed.index.notes(release.collection)
        assert notes.get("quantization", "none") == release.verification["quantization"]
        changed.close()
        return release

    plain = published()
    assert "quantization" not in plain.verification["graph"], "as in releases before there was any"
    scalar = published(quantization="scalar")
    assert (scalar.number, scalar.verification["quantization"]) == (2, "scalar")
    assert scalar.verification["code_bytes"] == 300 * 20
    assert published(quantization="scalar").number == 2
    auto = published(quantization="auto")
    assert auto.number == 3
    assert auto.verification["trials"]["none"]["code_bytes"] == 300 * 48
    assert published(quantization="auto").number == 3


def test_smoke_queries_are_spread_by_popularity(world: Any) -> None:
    snapshot = world.workspace.snapshot()
    counts: Counter[str] = Counter()
    for table in ("copurchase", "coview"):
        pairs = pq.read_table(snapshot.table(table)).to_pydict()
        for end in ("source", "target"):
            for product, count in zip(pairs[end], pairs["count"], strict=True):
                counts[product] += count
    popularity = [counts[product] for product, _ in smoke.spread_by_popularity(snapshot, "500MB")]
    assert len(popularity) == 20
    assert popularity == sorted(popularity, reverse=True)
    every = [counts[product] for product in world.products["product_id"]]
    assert (popularity[0], popularity[-1]) == (max(every), min(every))


def test_publishing_again_gives_the_same_release(world: Any, served: Workspace) -> None:
    steps: list[str] = []
    for number, version in enumerate(world.versions, 1):
        release = releases.publish(served, version, lambda step, done, total: steps.append(step))
        assert release.number == number
    assert steps == [], "nothing was sent"
    assert len(all_releases(served)) == 2
    # With other settings, or with points that went missing, it is another release.
    thicker = served.settings.model_copy(
        update={"qdrant": served.settings.qdrant.model_copy(update={"m": 32})}
    )
    workspace = Workspace(thicker)
    vars(workspace)["index"] = served.index
    assert releases.publish(workspace, world.versions[1]).number == 3
    served.index.drop("related_products__v3")
    assert releases.publish(served, world.versions[1]).number == 4


def test_answers_that_differ_from_those_of_the_same_version_are_refused(
    world: Any, served: Workspace
) -> None:
    with transaction(served.engine) as session:
        row = session.get_one(Release, 2)
        answers = dict(row.verification["smoke"])
        product, hits = next(iter(answers.items()))
        answers[product] = [["stranger", hits[0][1]], *hits[1:]]
        row.verification = {**row.verification, "smoke": answers}
    with pytest.raises(
        VerificationError, match=rf"answers 1 of 20 queries other than .*@v2.*{product} first"
    ):
        releases.publish(served, world.versions[1])
    assert [row.state for row in all_releases(served)] == [State.LIVE, State.READY, State.FAILED]


def test_ties_are_no_difference() -> None:
    saved: dict[str, Any] = {"a": [["x", 3.0], ["y", 2.0], ["z", 1.0]]}
    assert smoke.changed(saved, {"a": [["x", 3.0], ["y", 2.0], ["other", 1.0]]}) == []
    assert smoke.changed(saved, {"a": [["x", 3.0], ["other", 2.0], ["z", 1.0]]}) == ["a"]
    assert smoke.changed(saved, {"a": [["x", 3.1], ["y", 2.0], ["z", 1.0]]}) == ["a"]
    assert smoke.changed(saved, {"a": [["x", 3.0], ["y", 2.0]]}) == ["a"]
    assert smoke.changed(saved, {"b": []}) == []


@pytest.mark.parametrize("when", ["upload", "verify"])
def test_of_two_machines_the_later_one_publishes(
    world: Any, workspace: Workspace, tmp_path: Path, when: str
) -> None:
    """Two homes, which know nothing of each other's locks, over the same registry, Feast, index and files."""
    home = workspace.settings.home
    (tmp_path / "elsewhere").mkdir()
    for name in ("snapshots", "versions"):
        (tmp_path / "elsewhere" / name).symlink_to(home / name)
    vars(workspace)["index"] = ServerIndex(QdrantClient(":memory:"))
    small = workspace.settings.qdrant.model_copy(update={"batch": 64, "verify_sample": 20})
    other = Workspace(
        Settings(
            home=tmp_path / "elsewhere",
            registry={"url": f"sqlite:///{home / 'registry.db'}", "user": "other"},
            qdrant=small,
        )
    )
    vars(other)["index"] = workspace.index
    vars(other)["features"] = workspace.features
    mine = Workspace(workspace.settings.model_copy(update={"qdrant": small}))
    vars(mine).update(index=workspace.index, features=workspace.features)
    theirs: list[Release] = []

    def meanwhile(step: str, done: int, total: int) -> None:
        if step == when and not theirs:
            theirs.append(releases.publish(other, world.versions[0]))

    with pytest.raises(SupersededError, match="attempt 1 to publish related_products__v1 stops: attempt 2"):
        releases.publish(mine, world.versions[0], meanwhile)
    [row] = all_releases(workspace)
    assert (row.number, row.state, row.error) == (1, State.READY, None)
    assert row.verification["points"] == workspace.index.count(row.collection) == 300
    assert workspace.index.notes(row.collection)["attempt"] == "2"
    source, target = workspace.index.vectors(
        row.collection, point_ids(world.products["marketplace"], world.products["product_id"])
    )
    assert (source == world.vectors[0][0]).all()
    assert (target == world.vectors[0][1]).all()
