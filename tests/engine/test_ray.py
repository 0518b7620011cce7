"""Work on a cluster of two nodes: equal to the work of one process, also if a worker or a node dies."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from twinvec.catalogue.counting import count_pairs
from twinvec.engine import Cluster, open_cluster
from twinvec.engine.on_ray import run_with
from twinvec.errors import CatalogueError, SettingsError, StoreError
from twinvec.settings import Settings

pytestmark = pytest.mark.slow
ITEMS, LARGEST = 400, 20


@pytest.fixture(scope="module")
def log() -> pa.Table:
    random = np.random.default_rng(3)
    basket = (random.random(60_000) ** 1.5 * 15_000).astype(int)
    return pa.table({"name": [f"b{each}" for each in basket], "item": random.integers(0, ITEMS, len(basket))})


def counted(log: pa.Table, cluster: Cluster | None) -> tuple[list[Any], list[int], int, int]:
    names = pa.array([f"p{item:04}" for item in range(ITEMS)])
    with duckdb.connect() as connection:
        connection.register("line", log)
        counts = count_pairs(connection, "SELECT name, item FROM line", names, "pairs", LARGEST, cluster)
        return (
            connection.execute("FROM pairs").fetchall(), counts.alone.tolist(), counts.baskets, counts.too_large
        )  # fmt: skip


@pytest.fixture(scope="module")
def expected(log: pa.Table) -> Any:
    return counted(log, None)


def test_a_cluster_counts_what_one_machine_counts(
    nodes: Any, log: pa.Table, expected: Any, tmp_path: Path
) -> None:
    with open_cluster(Settings(home=tmp_path, engine="ray", ray={"memory_limit": "200MB"})) as cluster:
        assert cluster is not None
        assert cluster.partitions == 4
        assert counted(log, cluster) == expected
    assert not [*tmp_path.rglob("*.parquet")]
    ray = pytest.importorskip("ray")
    assert ray.is_initialized(), "a connection that was there is kept"


def test_a_worker_that_dies_after_it_has_written_changes_nothing(
    nodes: Any, log: pa.Table, expected: Any, tmp_path: Path
) -> None:
    mark, run = str(tmp_path / "died"), run_with(3)

    def dying(work: Any, tasks: Any) -> Any:
        def once(task: Any) -> Any:
            result = work(task)
            died = Path(f"{mark}-{work.__name__}")
            if not died.exists():
                died.touch()
                os._exit(1)
            return result

        return run(once, tasks)

    assert counted(log, Cluster(dying, str(tmp_path / "store"), 3, "200MB")) == expected
    assert {path.name for path in tmp_path.glob("died-*")} == {"died-_count", "died-_total"}


def test_a_node_that_dies_in_the_middle_changes_nothing(
    nodes: Any, log: pa.Table, expected: Any, tmp_path: Path
) -> None:
    ray = pytest.importorskip("ray")
    node = nodes.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    doomed, reached = node.node_id, tmp_path / "reached"

    def hanging(work: Any, tasks: Any) -> Any:
        def until_killed(task: Any) -> Any:
            result = work(task)
            if ray.get_runtime_context().get_node_id() == doomed:
                reached.touch()
                time.sleep(600)
            deadline = time.monotonic() + 60
            while not reached.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            return result

        return run_with(5)(until_killed, tasks)

    def kill() -> None:
        deadline = time.monotonic() + 60
        while not reached.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        nodes.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    found = counted(log, Cluster(hanging, str(tmp_path / "store"), 6, "200MB"))
    killer.join()
    assert reached.exists(), "the third node had written its counts"
    assert node not in nodes.worker_nodes
    assert found == expected


def test_errors_of_tasks_are_told(nodes: Any) -> None:
    def refuse(_task: int) -> None:
        raise CatalogueError("no such column", "name another")

    def fail(_task: int) -> None:
        raise ValueError("out of memory")

    with pytest.raises(CatalogueError, match="no such column"):
        run_with(1)(refuse, [1])
    with pytest.raises(StoreError, match="out of memory"):
        run_with(1)(fail, [1])


def test_without_ray_its_engine_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with (
        pytest.raises(SettingsError, match=r"twinvec\[ray\]"),
        open_cluster(Settings(home=tmp_path, engine="ray")),
    ):
        pass
