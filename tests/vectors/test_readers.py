"""Many processes over one folder of Edge: who reads what, who waits for whom, and who is told what."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.vectors.conftest import Catalogue
from twinvec.errors import StoreError
from twinvec.settings import QdrantSettings
from twinvec.vectors import PointBatch, publish, shards
from twinvec.vectors.edge import EdgeIndex
from twinvec.vectors.locks import take_lock
from twinvec.vectors.verify import Verification

SETTINGS = QdrantSettings(verify_sample=16)
V1, V2 = "related_products__v1", "related_products__v2"

# Answers orders, one a line: a query vector to answer from the live release, or "loop <seconds>".
READER = """
import json, sys, time
from pathlib import Path
import numpy as np
from twinvec.vectors.edge import EdgeIndex
index = EdgeIndex(Path(sys.argv[1]))
def ask(query):
    collection = index.aliases()["live"]
    [hits] = index.search(collection, np.array([query], np.float32), 5, exact=True)
    return collection, [hit.product_id for hit in hits]
for line in sys.stdin:
    order = json.loads(line)
    if "query" in order:
        print(json.dumps(ask(order["query"])), flush=True)
        continue
    seen = []
    end = time.monotonic() + order["seconds"]
    while time.monotonic() < end:
        for row, query in enumerate(order["queries"]):
            try:
                seen.append([row, *ask(query)])
            except Exception as error:
                seen.append([row, "error", repr(error)])
    print(json.dumps(seen), flush=True)
"""


class Reader:
    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", READER, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def order(self, **what: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, query: np.ndarray) -> Any:
        self.order(query=query.tolist())
        return self.answer()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Callable[[], Reader]]:
    started: list[Reader] = []

    def start() -> Reader:
        started.append(Reader(tmp_path))
        return started[-1]

    yield start
    for each in started:
        each.end()


def put(index: EdgeIndex, collection: str, catalogue: Catalogue) -> Verification:
    return publish(index, collection, catalogue.batches(), 337, 13, {}, SETTINGS)


def test_readers_follow_a_publish_and_let_the_old_release_be_dropped(
    catalogue: Catalogue, tmp_path: Path, reader: Callable[[], Reader]
) -> None:
    turned = replace(catalogue, target=-catalogue.target)
    index = EdgeIndex(tmp_path, patience=0.2)
    put(index, V1, catalogue)
    index.switch_alias("live", V1)
    readers = [reader(), reader()]
    query = catalogue.source[0]
    assert [each.ask(query) for each in readers] == [[V1, catalogue.best(0, 5)[0]]] * 2

    put(index, V2, turned)
    index.switch_alias("live", V2)
    # Who has not asked since still holds the old one, and whoever is in the way of is told who, since when.
    with pytest.raises(StoreError) as caught:
        index.drop(V1)
    for each in readers:
        assert re.search(
            rf"process {each.process.pid} \(since 20\d\d-\d\d-\d\d [\d:]+ UTC, \d+ s ago\)", str(caught.value)
        )
    assert V1 in index.collections()
    time.sleep(shards.IDLE_SECONDS)
    assert [each.ask(query) for each in readers] == [[V2, turned.best(0, 5)[0]]] * 2
    index.drop(V1)
    assert index.collections() == [V2]
    assert [each.ask(query)[0] for each in readers] == [V2, V2]
    index.close()


def test_a_drop_waits_for_readers_that_are_about_to_let_go(
    catalogue: Catalogue, tmp_path: Path, reader: Callable[[], Reader]
) -> None:
    index = EdgeIndex(tmp_path, patience=20)
    put(index, V1, catalogue)
    put(index, V2, catalogue)
    index.switch_alias("live", V1)
    busy = reader()
    busy.ask(catalogue.source[0])
    busy.order(queries=catalogue.source[:20].tolist(), seconds=3)
    index.switch_alias("live", V2)
    index.drop(V1)  # while it asks
    seen = busy.answer()
    assert {collection for _, collection, _ in seen} <= {V1, V2}
    assert seen[-1][1] == V2
    index.close()


def test_no_answer_is_lost_or_mixed_while_releases_are_published_and_switched(
    catalogue: Catalogue, tmp_path: Path, reader: Callable[[], Reader], record_property: Any
) -> None:
    """Two processes ask all the time; this one publishes three releases, each other than the last."""
    kinds = [catalogue, replace(catalogue, target=-catalogue.target)] * 2
    names = [f"related_products__v{number}" for number in range(1, 5)]
    index = EdgeIndex(tmp_path, patience=10)
    put(index, names[0], kinds[0])
    index.switch_alias("live", names[0])
    readers = [reader(), reader()]
    for each in readers:
        each.order(queries=catalogue.source[:20].tolist(), seconds=8)
    for name, kind in list(zip(names, kinds, strict=True))[1:]:
        put(index, name, kind)
        index.switch_alias("live", name)
        time.sleep(0.3)
    right = {
        (row, name): kind.best(row, 5)[0]
        for name, kind in zip(names, kinds, strict=True)
        for row in range(20)
    }
    reads = 0
    for each in readers:
        seen = each.answer()
        # On a busy machine the last release may have come after they stopped asking.
        each.order(queries=catalogue.source[:20].tolist(), seconds=0.5)
        seen += each.answer()
        reads += len(seen)
        assert len(seen) > 100
        assert [answer for answer in seen if answer[2] != right.get((answer[0], answer[1]))] == []
        order = [names.index(collection) for _, collection, _ in seen]
        assert order == sorted(order), "nobody goes back to an older release"
        assert order[-1] == 3
    for name in names[:3]:
        index.drop(name)
    index.close()
    record_property(
        "fault",
        {
            "fault": "releases published and switched under readers, and dropped; Edge",
            "switches": 3,
            "readers": len(readers),
            "reads": reads,
            "errors": 0,
            "seen": "no answer mixed, no reader goes back",
        },
    )


def test_threads_of_one_process_share_a_shard_and_its_end(catalogue: Catalogue, tmp_path: Path) -> None:
    """A shard that is not live is closed between queries of other threads, never under them."""
    index = EdgeIndex(tmp_path)
    put(index, V1, catalogue)
    put(index, V2, catalogue)
    index.switch_alias("live", V1)
    expected = [set(catalogue.best(row, 5)[0]) for row in range(20)]
    wrong: list[object] = []
    stop = threading.Event()

    def ask(collection: str) -> None:
        while not stop.is_set():
            try:
                found = index.search(collection, catalogue.source[:20], 5, exact=True)
                wrong.extend(
                    hits
                    for hits, best in zip(found, expected, strict=True)
                    if {h.product_id for h in hits} != best
                )
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=ask, args=(name,)) for name in (V1, V2, "live")]
    for thread in threads:
        thread.start()
    for _ in range(10):
        index._shards.release(V1)
        index._shards.release(V2)
        time.sleep(0.002)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    index.close()


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="the system does not tell who holds a lock")  # noqa: PTH110
def test_a_lock_tells_who_holds_it_and_forgets_those_that_ended(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, sys; from pathlib import Path; from twinvec.vectors.locks import take_lock\n"
            "take_lock(Path(sys.argv[1]), 'it', exclusive=False); print(os.getpid())",
            str(file),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    with take_lock(file, "it", exclusive=False), pytest.raises(StoreError) as caught:
        take_lock(file, "it", exclusive=True)
    assert "it is being read or written by this process (since " in str(caught.value)
    assert f"process {int(ended.stdout)}" not in str(caught.value)
    begun = time.monotonic()
    held = take_lock(file, "it", exclusive=True)
    threading.Timer(0.2, held.close).start()
    take_lock(file, "it", exclusive=False, patience=5).close()
    assert 0.15 < time.monotonic() - begun < 4


def test_the_one_that_publishes_is_named_to_another_that_would(catalogue: Catalogue, tmp_path: Path) -> None:
    """On one machine the first keeps the collection to itself until it is built, whatever the attempts."""
    first, second = EdgeIndex(tmp_path), EdgeIndex(tmp_path, patience=0.1)

    def batches() -> Iterator[PointBatch]:
        yield from list(catalogue.batches())[:2]
        with pytest.raises(StoreError, match=r"being read or written by this process \(since"):
            publish(second, V1, catalogue.batches(), 337, 13, {}, SETTINGS, attempt=2)
        yield from list(catalogue.batches())[2:]

    found = publish(first, V1, batches(), 337, 13, {}, SETTINGS)
    assert found.points == 337
    assert np.array_equal(second.vectors(V1, catalogue.points(0, 9).ids)[0], catalogue.source[:9])
    first.close()
    second.close()
