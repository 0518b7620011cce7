"""An update that is killed at every step: the live release answers on, and the next update finishes the job."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry import journal, operations
from registry.database import transaction
from registry.models import State
from tests import forked
from tests.pipelines.update import updater
from twinvec import releases, tracking
from twinvec.features.store import find_service
from twinvec.releases.lookup import all_releases
from twinvec.serving.related import Recommender
from twinvec.workspace import Workspace

pytestmark = pytest.mark.slow
STEPS = [
    "graph begun",
    "text written",
    "image made",
    "related written",
    "embedded",
    "collection created",
    "uploaded",
    "built",
    "published",
    "reported",
    "half online",
    "service switched",
    "models switched",
    "alias switched",
    "registry changed",
]
Updater = Callable[[Path, str | None], int]


@pytest.fixture(scope="module")
def update(groups: dict[str, Any]) -> Updater:
    """Update a home in a process of its own; gives its exit status."""
    return lambda home, die: forked.run(updater.update, str(home), groups, die).status


def answers(workspace: Workspace, products: list[str]) -> list[tuple[str, list[str | None]]]:
    recommender = Recommender(workspace.index, "related_products", 64)
    found = [recommender.related(each, 10) for each in products]
    return [(each.release, [hit.product.product_id for hit in each.hits]) for each in found]


def test_killed_at_every_step_in_turn(workspace: Workspace, plan: Any, update: Updater) -> None:
    home, asked = workspace.settings.home, plan.retitled + plan.priced
    before = answers(workspace, asked)
    for die in STEPS:
        workspace.index.close()
        assert update(home, die) == -signal.SIGKILL, die
        # Whoever reads meanwhile reads all of the old release or all of the new one.
        meanwhile = answers(workspace, asked)
        (release,) = {release for release, _ in meanwhile}
        assert (meanwhile == before) is (release == "related_products__v1"), die
        assert all(len(set(found)) == len(found) == 10 for _, found in meanwhile)
    workspace.index.close()
    assert update(home, None) == 0
    require_whole(workspace, plan, asked)


@pytest.mark.parametrize("die", ["text written", "uploaded", "alias switched"])
def test_killed_once_and_finished_by_the_next(
    workspace: Workspace, plan: Any, update: Updater, die: str
) -> None:
    asked = plan.retitled + plan.priced
    workspace.index.close()
    assert update(workspace.settings.home, die) == -signal.SIGKILL
    (release,) = {release for release, _ in answers(workspace, asked)}
    assert release == f"related_products__v{2 if die == 'alias switched' else 1}"
    workspace.index.close()
    assert update(workspace.settings.home, None) == 0
    require_whole(workspace, plan, asked)


def require_whole(workspace: Workspace, plan: Any, asked: list[str]) -> None:
    """The update is done, in every store, and nothing was made twice."""
    after = answers(workspace, asked)
    assert {release for release, _ in after} == {"related_products__v2"}
    assert not {each for _, found in after for each in found} & set(plan.delisted)
    assert workspace.index.count("related_products") == 222
    assert workspace.index.collections() == ["related_products__v1", "related_products__v2"]
    live = releases.live(workspace)
    assert live is not None
    assert (live.number, live.version.snapshot_id) == (2, plan.after)
    assert live.verification["update"]["replaced"] == "related_products@v1"
    assert [each.state for each in all_releases(workspace)] == [State.RETIRED, State.LIVE]
    service = find_service(workspace.features, "related_products")
    assert service is not None
    assert service.tags["collection"] == live.collection
    with transaction(workspace.engine) as session:
        assert journal.unfinished(session, "related_products") is None
        ready = Counter(each.space for each in operations.versions(session, [State.READY]))
    # Nothing that was finished was made again.
    assert ready == Counter(
        {**dict.fromkeys(("graph", "text", "image", "aligned", "related", "ranking"), 2), "category": 1}
    )
    assert tracking.alias_uri(workspace.settings, "related", tracking.LIVE) == live.version.model_uri
