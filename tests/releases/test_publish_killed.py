"""A publish that dies at every step, while readers go on: nothing is lost, nothing is there twice."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from registry.models import State
from twinvec import releases
from twinvec.features.store import find_service
from twinvec.releases.lookup import all_releases
from twinvec.serving.related import Recommender
from twinvec.settings import QdrantSettings, Settings
from twinvec.vectors import point_ids
from twinvec.vectors.server import ServerIndex
from twinvec.workspace import Workspace

HERE = Path(__file__).parent
DIED = 77
STEPS = [
    "begun",
    "collection created",
    "payload indexes created",
    "upload begun",
    "half uploaded",
    "uploaded",
    "building",
    "built",
    "reading back",
    "verified",
    "before the service",
    "before the commit",
    "after the commit",
]
Publisher = Callable[..., int]


@pytest.fixture(scope="module")
def publisher() -> Iterator[Publisher]:
    command = [sys.executable, str(HERE / "publisher.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

        def publish(home: Path, engine: str, version: str, die: str | None = None) -> int:
            order = {"home": str(home), "engine": engine, "version": version, "die": die}
            process.stdin.write(json.dumps(order) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            return int(process.stdout.readline())  # type: ignore[union-attr]

        yield publish
        process.stdin.close()


def opened(home: Path, engine: str) -> Workspace:
    workspace = Workspace(Settings(home=home))
    if engine == "local":
        vars(workspace)["index"] = ServerIndex(QdrantClient(path=str(home / "local")))
    return workspace


@pytest.fixture(scope="module", params=["edge", "local"])
def live(
    world: Any, publisher: Publisher, tmp_path_factory: pytest.TempPathFactory, request: Any
) -> tuple[Path, str]:
    """A home in which the first version is live and nothing else is published."""
    home = tmp_path_factory.mktemp("live") / "home"
    world.copied(home)
    assert publisher(home, request.param, world.versions[0].name) == 0
    workspace = opened(home, request.param)
    releases.promote(workspace, releases.find(workspace, "1"))
    workspace.index.close()
    workspace.engine.dispose()
    return home, request.param


@pytest.fixture
def home(live: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    shutil.copytree(live[0], tmp_path / "home")
    return tmp_path / "home", live[1]


def expected(world: Any) -> dict[str, list[str]]:
    everything = np.ones(len(world.products["product_id"]), bool)
    return {product: world.best(0, product, 10, everything) for product in world.products["product_id"][:40]}


def require_live(world: Any, home: Path, engine: str) -> None:
    """The live release answers as it did."""
    workspace = opened(home, engine)
    recommender = Recommender(workspace.index, "related_products", 300)
    for product, ids in expected(world).items():
        found = recommender.related(product)
        assert found.release == "related_products__v1"
        assert [hit.product.product_id for hit in found.hits] == ids
    workspace.index.close()
    workspace.engine.dispose()


def require_finished(world: Any, home: Path, engine: str) -> dict[str, str]:
    """The second version is published, whole, once; returns the notes of its collection."""
    workspace = opened(home, engine)
    first, second = all_releases(workspace)
    assert (first.state, second.state, second.collection) == (State.LIVE, State.READY, "related_products__v2")
    assert second.verification["points"] == workspace.index.count(second.collection) == 300
    wanted = point_ids(world.products["marketplace"], world.products["product_id"])
    stored = [id_ for ids, _, _ in workspace.index.pages(second.collection, 100) for id_ in ids]
    assert sorted(stored) == sorted(wanted)
    source, target = workspace.index.vectors(second.collection, wanted)
    assert (source == world.vectors[1][0]).all()
    assert (target == world.vectors[1][1]).all()
    assert workspace.index.collections() == [first.collection, second.collection]
    assert workspace.index.aliases() == {"related_products": first.collection}
    assert find_service(workspace.features, second.collection) is not None
    notes = workspace.index.notes(second.collection)
    workspace.index.close()
    workspace.engine.dispose()
    left = sorted(file.name for file in (home / "qdrant").glob(".*")) if engine == "edge" else [".locks"]
    assert left == [".locks"]
    return notes


def test_killed_at_every_step_in_turn(world: Any, home: tuple[Path, str], publisher: Publisher) -> None:
    """One publish after the other, each killed a step later than the one before, and a last one that is not."""
    folder, engine = home
    command = [sys.executable, str(HERE / "reader.py"), str(folder)]
    readers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2 if engine == "edge" else 0)  # the other engine lets one process in
    ]
    for reader in readers:
        assert reader.stdin is not None
        reader.stdin.write(json.dumps(expected(world)) + "\n")
        reader.stdin.flush()
    for step in STEPS:
        ended = publisher(folder, engine, world.versions[1].name, step)
        assert ended in ({DIED, -signal.SIGALRM} if step == "building" else {DIED}), step
        if engine == "local":
            require_live(world, folder, engine)
    assert publisher(folder, engine, world.versions[1].name) == 0
    for reader in readers:
        seen = json.loads(reader.communicate("end\n", timeout=60)[0])
        print(seen)  # noqa: T201
        assert seen["reads"] > 100
        assert (seen["wrong"], seen["errors"]) == (0, [])
    # The last two found the release ready, and did nothing.
    assert require_finished(world, folder, engine)["attempt"] == str(len(STEPS))


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_killed_once_and_finished_by_the_next(
    world: Any, home: tuple[Path, str], publisher: Publisher, step: str
) -> None:
    folder, engine = home
    assert publisher(folder, engine, world.versions[1].name, step) in (DIED, -signal.SIGALRM)
    require_live(world, folder, engine)
    assert publisher(folder, engine, world.versions[1].name) == 0
    require_live(world, folder, engine)
    require_finished(world, folder, engine)


class Interrupted(BaseException):
    """What no publish catches."""


def test_in_memory_interrupted_at_every_step(
    world: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The in-memory client dies with its process, so here the publish alone ends, while a thread reads."""
    index = ServerIndex(QdrantClient(":memory:"))
    small = Workspace(
        workspace.settings.model_copy(update={"qdrant": QdrantSettings(batch=64, verify_sample=20)})
    )
    vars(small)["index"] = index
    releases.promote(small, releases.publish(small, world.versions[0]))
    answers, wrong, reads, stop = expected(world), [], [], threading.Event()

    def read() -> None:
        recommender = Recommender(index, "related_products", 300)
        while not stop.is_set():
            for product, ids in answers.items():
                try:
                    found = [hit.product.product_id for hit in recommender.related(product).hits]
                except Exception as error:
                    found = [repr(error)]
                reads.append(product)
                if found != ids:
                    wrong.append((product, found))

    reader = threading.Thread(target=read)
    reader.start()
    steps = ["create", "annotate", "insert", "build", "count", "pages", "search", "vectors"]
    for name in steps:
        with monkeypatch.context() as patched:

            def end(*_: object, **__: object) -> None:
                raise Interrupted

            patched.setattr(index, name, end)
            with pytest.raises(Interrupted):
                releases.publish(small, world.versions[1])
    release = releases.publish(small, world.versions[1])
    stop.set()
    reader.join()
    assert not wrong
    assert len(reads) > 100
    assert (release.number, index.count(release.collection)) == (2, 300)
    assert index.notes(release.collection)["attempt"] == str(len(steps) + 1)
