"""A release that an update made takes the place of the live one: as a whole, and only of the one it was made from."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from registry.models import Version
from twinvec import releases
from twinvec.errors import StateError
from twinvec.releases import updating
from twinvec.serving.related import Recommender
from twinvec.workspace import Workspace


def test_readers_meet_one_release_or_the_other(either: Workspace, world: Any) -> None:
    first = releases.promote(either, releases.publish(either, world.versions[0]))
    asked = str(world.products["product_id"][3])
    everything = np.ones(len(world.products["product_id"]), np.bool_)
    expected = [world.best(version, asked, 5, everything) for version in (0, 1)]
    met: list[tuple[str, list[str | None]]] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            found = Recommender(either.index, first.name, 64).related(asked, 5)
            met.append((found.release, [hit.product.product_id for hit in found.hits]))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        release = updating.publish_update(either, first, world.versions[1])
        serving = releases.live(either)
        assert serving is not None
        assert serving.number == 1
        updating.take_place(either, first, release, {"changes": {"new": 1}})
        threading.Event().wait(0.2)
    finally:
        over.set()
        reader.join()
    assert dict(met) == {
        "related_products__v1": expected[0],
        "related_products__v2": expected[1],
    }
    assert all(found == expected[name == "related_products__v2"] for name, found in met)
    live = releases.live(either)
    assert live is not None
    assert (live.number, live.verification["update"]) == (2, {"changes": {"new": 1}})
    assert releases.rollback(either).number == 1


def test_nothing_is_promoted_over_a_release_it_was_not_made_from(served: Workspace, world: Any) -> None:
    first = releases.find(served, "1")
    second = releases.find(served, "2")
    releases.promote(served, second)
    with pytest.raises(
        StateError, match="related_products@v2 is live now, and it updates related_products@v1"
    ):
        updating.take_place(served, first, second, {})
    assert "update" not in releases.find(served, "2").verification


def test_another_dimension_is_refused(
    served: Workspace, make_version_of: Callable[[Workspace, list[str]], Version], world: Any
) -> None:
    version = make_version_of(served, world.products["product_id"])
    version.dimension = 8
    with pytest.raises(StateError, match=f"{version.name} has 8 dimensions and related_products@v1.*12"):
        updating.publish_update(served, releases.find(served, "1"), version)
    assert len(served.index.collections()) == 2
