"""A publish that dies at every step, while readers go on: nothing is lost, nothing is there twice."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from registry.models import State
from tests import forked
from tests.homes import copied
from tests.releases import live_reader
from tests.releases.publisher import QDRANT, make_sellers, publish
from twinvec import releases
from twinvec.features.reading import read_vectors
from twinvec.features.store import find_service
from twinvec.releases.lookup import all_releases
from twinvec.serving.related import Recommender
from twinvec.settings import QdrantSettings, Settings
from twinvec.vectors import point_ids
from twinvec.vectors.edge import EdgeIndex
from twinvec.vectors.quantization import by_size, choose
from twinvec.vectors.recall import Trial
from twinvec.vectors.server import ServerIndex
from twinvec.workspace import Workspace

DIED = 77
SELLERS = "seller_recommendations"
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
READERS = {"edge": 2, "local": 0}  # the other engine lets one process in
ENGINES = {"edge": "Edge", "local": "the in-memory client, kept in a folder"}


def publish_alone(home: Path, engine: str, version: str, die: str | None = None, **qdrant: object) -> int:
    """Publish in a process of its own, which dies at a step if one is given; its exit status."""
    return forked.run(publish, str(home), engine, version, die, **qdrant).status


def opened(home: Path, engine: str) -> Workspace:
    workspace = Workspace(Settings(home=home))
    if engine == "local":
        vars(workspace)["index"] = ServerIndex(QdrantClient(path=str(home / "local")))
    return workspace


@pytest.fixture(scope="module", params=["edge", "local"])
def live(world: Any, tmp_path_factory: pytest.TempPathFactory, request: Any) -> tuple[Path, str]:
    """A home in which the first version is live and nothing else is published."""
    home = tmp_path_factory.mktemp("live") / "home"
    world.copied(home)
    assert publish_alone(home, request.param, world.versions[0].name) == 0
    workspace = opened(home, request.param)
    releases.promote(workspace, releases.find(workspace, "1"))
    workspace.index.close()
    workspace.engine.dispose()
    return home, request.param


@pytest.fixture
def home(live: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    copied(live[0], tmp_path / "home")
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


def test_killed_at_every_step_in_turn(
    world: Any,
    home: tuple[Path, str],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """One publish after the other, each killed a step later than the one before, and a last one that is not."""
    folder, engine = home
    right, stop = tmp_path / "right.json", tmp_path / "stop"
    right.write_text(json.dumps({"related_products__v1": {"best": expected(world)}}))
    ready = [tmp_path / f"ready{place}" for place in range(READERS[engine])]
    readers = [
        forked.start(live_reader.read, "edge", str(folder), str(right), str(mark), str(stop))
        for mark in ready
    ]
    while not all(mark.exists() for mark in ready):
        time.sleep(0.02)
    for step in STEPS:
        ended = publish_alone(folder, engine, world.versions[1].name, step)
        assert ended in ({DIED, -signal.SIGALRM} if step == "building" else {DIED}), step
        if engine == "local":
            require_live(world, folder, engine)
    assert publish_alone(folder, engine, world.versions[1].name) == 0
    stop.touch()
    told = [reader.wait().result for reader in readers]
    for seen in told:
        assert seen["wrong"] == []
        assert seen["reads"]["related_products__v1"] > 100
    # The last two found the release ready, and did nothing.
    assert require_finished(world, folder, engine)["attempt"] == str(len(STEPS))
    record_property(
        "fault",
        {
            "fault": f"`publish` killed at each step in turn, then finished; {ENGINES[engine]}",
            "killed": len(STEPS),
            "readers": len(readers) or None,
            "reads": sum(seen["reads"]["related_products__v1"] for seen in told) or None,
            "errors": sum(len(seen["wrong"]) for seen in told),
            "seen": "every answer right, nothing lost, nothing twice"
            if readers
            else "the live release answers after each, nothing lost, nothing twice",
        },
    )


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_killed_once_and_finished_by_the_next(
    world: Any,
    home: tuple[Path, str],
    step: str,
    record_property: Callable[[str, object], None],
) -> None:
    folder, engine = home
    assert publish_alone(folder, engine, world.versions[1].name, step) in (DIED, -signal.SIGALRM)
    require_live(world, folder, engine)
    publish(str(folder), engine, world.versions[1].name)
    require_live(world, folder, engine)
    require_finished(world, folder, engine)
    record_property(
        "fault",
        {
            "fault": f"`publish` killed once at each step, then finished; {ENGINES[engine]}",
            "killed": 1,
            "seen": "finished by the next: 300 points, same ids, same vectors",
        },
    )


def test_killed_while_it_tries_quantisations_it_goes_on_and_chooses_once(world: Any, tmp_path: Path) -> None:
    """Each publish is killed after its second build: trials that were noted stay, and decide."""
    home, version = tmp_path / "home", world.versions[0].name
    world.copied(home)
    settings = {"quantization": "auto", "quantization_loss": 0.0}
    noted: dict[str, Any] = {}
    killed = 0
    while publish_alone(home, "edge", version, "another built", **settings):
        killed += 1
        index = EdgeIndex(home / "qdrant")
        trials = json.loads(index.notes("related_products__v1")["trials"])
        index.close()
        assert noted.items() <= trials.items()
        noted = trials
    assert killed >= 2
    workspace = opened(home, "edge")
    (release,) = all_releases(workspace)
    chosen = release.verification["quantization"]
    assert (release.state, release.verification["trials"]) == (State.READY, noted)
    assert workspace.index.notes(release.collection)["quantization"] == chosen
    order = by_size(*world.vectors[0][1].shape)
    trials = {name: Trial(**trial) for name, trial in noted.items()}
    assert chosen == choose(trials, order, QDRANT.model_copy(update=settings))
    workspace.close()


def test_a_publish_of_sellers_is_killed_at_every_step_while_readers_go_on(
    seller_home: Path, tmp_path: Path
) -> None:
    """The live release of sellers answers throughout, and the last publish finishes what was begun."""
    home = copied(seller_home, tmp_path / "home")
    workspace = Workspace(Settings(home=home))
    live = releases.live(workspace, SELLERS)
    assert live is not None
    names = [f"seller {number}" for number in range(40)]
    vectors = read_vectors(workspace.features, live.version, names).only()
    expected = [[hit.product_id for hit in hits] for hits in search(workspace, vectors)]
    third = forked.run(make_sellers, str(home), 13).result
    wrong, reads, stop = [], [], threading.Event()

    def read() -> None:
        while not stop.is_set():
            answers = [[hit.product_id for hit in hits] for hits in search(workspace, vectors)]
            reads.append(len(answers))
            if answers != expected:
                wrong.append(answers)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for step in STEPS:
            status = publish_alone(home, "edge", third, step)
            assert status in ({DIED, -signal.SIGALRM} if step == "building" else {DIED}), step
        assert publish_alone(home, "edge", third) == 0
    finally:
        stop.set()
        reader.join()
    assert wrong == []
    assert len(reads) > 20
    release = releases.find(workspace, "3", SELLERS)
    assert (release.state, workspace.index.count(release.collection)) == (State.READY, 300)
    assert len(all_releases(workspace, SELLERS)) == 3
    assert workspace.index.aliases()[SELLERS] == live.collection
    workspace.close()


def search(workspace: Workspace, vectors: Any) -> Any:
    return workspace.index.search(workspace.index.aliases()[SELLERS], vectors, 10, exact=True)


class Interrupted(BaseException):
    """An exception that no publish catches."""


def test_in_memory_interrupted_at_every_step(
    world: Any,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
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
    record_property(
        "fault",
        {
            "fault": "`publish` interrupted in its process, while a thread reads; in memory",
            "killed": len(steps),
            "readers": 1,
            "reads": len(reads),
            "errors": len(wrong),
            "seen": "every answer right, finished by the next",
        },
    )
