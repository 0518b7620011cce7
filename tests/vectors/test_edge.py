"""Qdrant Edge alone: a graph that is really built, folders, locks between processes, crashes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.vectors.conftest import Catalogue
from twinvec.errors import StoreError, VerificationError
from twinvec.settings import QdrantSettings, Settings
from twinvec.vectors import CollectionConfig, PointBatch, make_points, open_index, publish
from twinvec.vectors.edge import EdgeIndex
from twinvec.vectors.recall import search_exactly

NAME = "related_products__v1"
HNSW_ALWAYS = QdrantSettings(full_scan_threshold=10, ef=128)


@pytest.fixture(scope="module")
def big(make_catalogue: Callable[..., Catalogue]) -> Catalogue:
    return make_catalogue(5000, 64, seed=20261121)


@pytest.fixture(scope="module")
def published(
    big: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[EdgeIndex, Path, Any]]:
    """5,000 points under a small full-scan threshold, so that queries really walk a graph."""
    root = tmp_path_factory.mktemp("edge")
    index = EdgeIndex(root)
    found = publish(index, NAME, big.batches(500), 5000, 64, {"a": "b"}, HNSW_ALWAYS)
    yield index, root, found
    index.close()


def test_hnsw_finds_what_exact_search_finds(published: Any, big: Catalogue) -> None:
    index, _, found = published
    assert found.points == 5000
    assert found.recall_at_10 >= 0.95
    rows = np.random.default_rng(1).choice(5000, 100, replace=False)
    hits = index.search(NAME, big.source[rows], 10, ef=128)
    expected = [set(big.best(row, 10)[0]) for row in rows]
    recall = np.mean(
        [len({h.product_id for h in got} & best) / 10 for got, best in zip(hits, expected, strict=True)]
    )
    assert recall >= 0.95


def test_the_graph_is_of_targets_only(published: Any) -> None:
    index, root, _ = published
    sizes = {
        name: sum(file.stat().st_size for file in root.rglob(f"vector_index-{name}/links*.bin"))
        for name in ("source", "target")
    }
    assert sizes["target"] > 5000 * 16  # at least a few links a point
    assert sizes["source"] < sizes["target"] / 10
    # Looking at few candidates finds less than exact search would: the graph is what answers.
    queries = np.random.default_rng(2).standard_normal((100, 64)).astype(np.float32)
    question = search_exactly(index, NAME, queries)
    assert question.recall(index, NAME, 10) < 0.95 < question.recall(index, NAME, 800)


def test_low_recall_is_refused_with_its_figure(published: Any, big: Catalogue, tmp_path: Path) -> None:
    settings = QdrantSettings(full_scan_threshold=10, m=4, ef_construct=8, ef=8, max_ef=8)
    index = EdgeIndex(tmp_path)
    with pytest.raises(VerificationError, match=r"recall@10 of .* is 0\.\d+ over \d+ products at ef=8"):
        publish(index, NAME, big.batches(500), 5000, 64, {}, settings)
    assert index.search_ef(NAME) is None
    index.close()


def test_ef_is_raised_until_every_recall_holds_and_readers_are_told(big: Catalogue, tmp_path: Path) -> None:
    """A graph too thin for its settings: 4 links a point, 8 candidates a query."""
    settings = QdrantSettings(full_scan_threshold=10, m=4, ef_construct=32, ef=8, max_ef=8)
    index = EdgeIndex(tmp_path)
    with pytest.raises(VerificationError, match=r"is 0\.\d+ over \d+ products at ef=8"):
        publish(index, NAME, big.batches(500), 5000, 64, {}, settings)
    before = search_exactly(index, NAME, big.source[:200]).recall(index, NAME, 8)
    found = publish(
        index, NAME, big.batches(500), 5000, 64, {}, settings.model_copy(update={"max_ef": 5000}), attempt=2
    )
    after = search_exactly(index, NAME, big.source[:200]).recall(index, NAME, found.ef)
    print(f"recall@10 at ef=8 {before:.3f}, at ef={found.ef} {after:.3f}")  # noqa: T201
    assert before < 0.7 < 0.95 <= min(found.recall_at_10, *(f.recall_at_10 for f in found.filters.values()))
    assert after >= 0.9
    assert found.ef == EdgeIndex(tmp_path).search_ef(NAME)
    assert found.index_seconds < 1, "the graph of the first attempt is taken over"
    assert {
        name: tried.products for name, tried in found.filters.items() if name.startswith("marketplace")
    } == {f"marketplace={name}": big.marketplace.count(name) for name in ("us", "es")}
    assert {name.split("=")[0] for name in found.filters} == {"category", "marketplace", "price"}
    index.close()


def test_a_damaged_shard_is_named_with_what_to_do(tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path)
    index.create(NAME, CollectionConfig(4, 16, 100, 100))
    index.close()
    (tmp_path / NAME / "shard" / "edge_config.json").write_text("{")
    with pytest.raises(StoreError, match=rf"could not open {NAME}[\s\S]*hint: if it is damaged"):
        index.count(NAME)
    index.drop(NAME)
    assert index.collections() == []


def test_open_index_takes_edge_under_home_unless_a_url_is_set(tmp_path: Path) -> None:
    index = open_index(Settings(home=tmp_path))
    assert isinstance(index, EdgeIndex)
    index.create(NAME, CollectionConfig(4, 16, 100, 100))
    assert (tmp_path / "qdrant" / NAME / "shard").is_dir()
    index.close()
    assert open_index(Settings(home=tmp_path)).collections() == [NAME]


READER = """
import json, sys
from pathlib import Path
import numpy as np
from twinvec.vectors.edge import EdgeIndex
index = EdgeIndex(Path(sys.argv[1]))
for line in sys.stdin:
    [hits] = index.search(sys.argv[2], np.array([json.loads(line)], np.float32), 5, exact=True)
    print(json.dumps([hit.product_id for hit in hits]), flush=True)
"""


class Reader:
    """Another process that answers queries and holds the collection open."""

    def __init__(self, root: Path, collection: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", READER, str(root), collection],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, query: np.ndarray) -> list[str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(query.tolist()) + "\n")
        self.process.stdin.flush()
        answer: list[str] = json.loads(self.process.stdout.readline())
        return answer

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def test_processes_read_together_and_a_writer_is_told_who_reads(catalogue: Catalogue, tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path)
    settings = QdrantSettings()
    publish(index, NAME, catalogue.batches(), 337, 13, {}, settings)
    index.switch_alias("live", NAME)
    readers = [Reader(tmp_path, "live"), Reader(tmp_path, "live")]
    for row in (0, 5):
        expected = catalogue.best(row, 5)[0]
        assert [reader.ask(catalogue.source[row]) for reader in readers] == [expected, expected]
        [hits] = index.search("live", catalogue.source[row : row + 1], 5, exact=True)
        assert [hit.product_id for hit in hits] == expected
    with pytest.raises(StoreError, match="being read or written by") as caught:
        index.upsert(NAME, catalogue.points(0, 1))
    if os.path.exists("/proc/locks"):  # noqa: PTH110
        assert all(f"process {reader.process.pid}" in caught.value.message for reader in readers)
    # A publish beside them is not in their way, and they follow the alias without a restart.
    turned = catalogue.__class__(**{**vars(catalogue), "target": -catalogue.target})
    publish(index, "related_products__v2", turned.batches(), 337, 13, {}, settings)
    index.switch_alias("live", "related_products__v2")
    assert readers[0].ask(catalogue.source[0]) == turned.best(0, 5)[0]
    for reader in readers:
        reader.end()
    index.upsert(NAME, catalogue.points(0, 1))
    with pytest.raises(StoreError, match="being written by"):
        EdgeIndex(tmp_path).count(NAME)
    index.close()
    assert EdgeIndex(tmp_path).count(NAME) == 337


WRITER = """
import sys
from pathlib import Path
import numpy as np
from twinvec.settings import QdrantSettings
from twinvec.vectors import make_points, publish
from twinvec.vectors.edge import EdgeIndex
random = np.random.default_rng(0)
n = 1500
source, target = random.standard_normal((2, n, 32)).astype(np.float32)
def batches():
    for at in range(0, n, 100):
        names = [str(row) for row in range(at, at + 100)]
        yield make_points(product_id=names, marketplace=["us"] * 100, title=names, category=[["a"]] * 100,
            price=[1.0] * 100, release="r", source=source[at:at + 100], target=target[at:at + 100])
index = EdgeIndex(Path(sys.argv[1]))
print("begun", flush=True)
settings = QdrantSettings(full_scan_threshold=10)
say = lambda step, done, total: print(step, done, flush=True)
found = publish(index, "c", batches(), n, 32, {}, settings, say)
[hits] = index.search("c", source[:1], 10, exact=True)
assert {hit.product_id for hit in hits} == {str(row) for row in np.argsort(-(target @ source[0]))[:10]}
print("points", found.points, flush=True)
"""


@pytest.mark.parametrize(
    ("until", "delay"),
    [
        ("upload 700", 0.0),
        pytest.param("begun", 0.02, marks=pytest.mark.slow),
        pytest.param("upload 100", 0.0, marks=pytest.mark.slow),
        pytest.param("upload 1500", 0.0, marks=pytest.mark.slow),
        pytest.param("index 0", 0.0, marks=pytest.mark.slow),
        pytest.param("index 0", 0.1, marks=pytest.mark.slow),
    ],
)
def test_a_publish_killed_at_any_step_is_finished_by_the_next(
    tmp_path: Path, until: str, delay: float
) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == until:
                time.sleep(delay)
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "points 1500"


def test_a_publish_that_stands_still_keeps_others_out_and_is_named(tmp_path: Path) -> None:
    """Stopped, it cannot be overtaken here: what it would write late can overwrite nobody's points."""
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "upload 700":
                break
        process.send_signal(signal.SIGSTOP)
        other = EdgeIndex(tmp_path, patience=0.1)
        batch = random_points(3)
        for call in (lambda: other.insert("c", batch), lambda: other.count("c"), lambda: other.drop("c")):
            with pytest.raises(StoreError, match=rf"written by process {process.pid} \(since 20.* s ago\)"):
                call()
        process.send_signal(signal.SIGCONT)
        assert process.stdout.read().splitlines()[-1] == "points 1500"
    assert process.returncode == 0
    assert other.count("c") == 1500
    other.insert("c", batch)
    assert other.count("c") == 1503
    other.close()


def random_points(n: int) -> PointBatch:
    vectors = np.random.default_rng(3).standard_normal((n, 32)).astype(np.float32)
    names = [f"new {row}" for row in range(n)]
    return make_points(
        product_id=names,
        marketplace=["us"] * n,
        title=names,
        category=[["a"]] * n,
        price=[1.0] * n,
        release="r",
        source=vectors,
        target=vectors,
    )
