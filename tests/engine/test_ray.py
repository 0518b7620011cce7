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
import torch

from pipelines.image import on_cluster as images
from pipelines.image.encoder import encode_images
from pipelines.image.encoder import load_encoder as load_image_encoder
from pipelines.text.encoder import encode_texts, load_encoder
from pipelines.text.on_cluster import encode_on_cluster
from tests.encoders import write_small_encoder
from twinvec.catalogue.counting import count_pairs
from twinvec.engine import Cluster, open_cluster
from twinvec.engine.on_ray import run_with
from twinvec.engine.together import train_together
from twinvec.errors import CatalogueError, SettingsError, StoreError
from twinvec.settings import ImageSettings, Settings, TextSettings

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


def test_texts_are_encoded_as_on_one_machine(nodes: Any, tmp_path: Path) -> None:
    encoder = load_encoder(str(write_small_encoder(tmp_path)), 32, torch.device("cpu"))
    options = TextSettings(max_length=32, batch=8)
    texts = [f"product {number} " + "of many words " * (number % 7) for number in range(90)]
    chunks = [pa.array(texts[first : first + 25]) for first in range(0, len(texts), 25)]
    with open_cluster(Settings(home=tmp_path, engine="ray")) as cluster:
        assert cluster is not None
        found = list(encode_on_cluster(cluster, encoder, chunks, options, 1))
    assert [len(each) for each in found] == [25, 25, 25, 15]
    np.testing.assert_allclose(np.concatenate(found), encode_texts(encoder, texts, 8), atol=1e-5)
    assert not [*(tmp_path / ".spill").rglob("*.parquet")]


def test_images_are_encoded_as_on_one_machine(nodes: Any, tmp_path: Path) -> None:
    options = ImageSettings(size=16, dimension=24, batch=8)
    encoder = load_image_encoder(options.model, 16, 24, seed=1)
    pixels = np.random.default_rng(2).integers(0, 256, (61, 3, 16, 16), np.uint8)
    with open_cluster(Settings(home=tmp_path, engine="ray")) as cluster:
        assert cluster is not None
        found = list(images.encode_on_cluster(cluster, encoder, pixels, 20, options, 1))
    assert [len(each) for each in found] == [20, 20, 20, 1]
    np.testing.assert_allclose(np.concatenate(found), encode_images(encoder, pixels, 8), atol=1e-5)
    assert not [*(tmp_path / ".spill").rglob("*.parquet")]


def test_processes_of_a_cluster_train_together(nodes: Any, tmp_path: Path) -> None:
    def work(arguments: Any) -> None:
        import torch

        from twinvec.nn import processes
        from twinvec.nn.features import Features
        from twinvec.nn.losses.margin import MarginObjective
        from twinvec.nn.models import GraphSAGE
        from twinvec.nn.sampling.blocks import double_cover
        from twinvec.nn.sampling.csr import CsrSampler
        from twinvec.nn.training.loop import train

        with processes.process_group():
            torch.manual_seed(0)
            source, target = torch.arange(40), (torch.arange(40) + 1) % 40
            graph = {"copurchase": double_cover(source, target, products=40)}
            model = GraphSAGE(content=40, dimension=4, layers=1, relations=list(graph))
            objective = MarginObjective(source, target, 40, 40, negatives=2, pool=9, margin=1.0, batch=5)
            features, sampler = (
                Features(torch.eye(40), torch.zeros(80, 0)),
                CsrSampler(graph, {"copurchase": -1}, 1),
            )
            history = train(model, features, sampler, objective, 2, 0.05, 0.0, seed=arguments["seed"])
            record = {"weights": model.state_dict(), "losses": [each.loss for each in history]}
            torch.save(record | {"count": processes.count()}, f"{arguments['folder']}/{processes.rank()}.pt")

    settings = Settings(home=tmp_path, engine="ray", ray={"trainers": 2})
    train_together(settings, work, {"folder": str(tmp_path), "seed": 3})
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert first["count"] == second["count"] == 2
    assert first["losses"] == second["losses"]
    for name, weights in first["weights"].items():
        assert torch.equal(weights, second["weights"][name])


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
