"""Processes that read while releases switch."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests import forked
from tests.releases import live_reader
from twinvec import releases
from twinvec.workspace import Workspace

KINDS = ("edge", "edge", "online", "online")
# `benchmarks/faults.py` asks for more.
SWITCHES = int(os.environ.get("FAULT_SWITCHES", "6"))


def expectations(world: Any, workspace: Workspace) -> dict[str, Any]:
    """Release → the 5 best of some products and their vectors, from the versions' own files."""
    products = world.products["product_id"][:40]
    everything = np.ones(len(world.products["product_id"]), bool)
    found = {}
    for which, version in enumerate(world.versions):
        vectors: dict[str, list[list[float]]] = {product: [] for product in products}
        for row, columns in (
            (version, ("source_vector", "target_vector")),
            (version.inputs[0], ("text_vector",)),
        ):
            table = pq.read_table(Path(row.path) / "vectors").to_pydict()
            places = {product: place for place, product in enumerate(table["product_id"])}
            for product in products:
                vectors[product] += [list(table[column][places[product]]) for column in columns]
        found[f"related_products__v{which + 1}"] = {
            "best": {product: world.best(which, product, 5, everything) for product in products},
            "vectors": vectors,
        }
    return found


@pytest.mark.slow
def test_readers_see_one_release_or_the_other(
    world: Any,
    served: Workspace,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    releases.promote(served, releases.find(served, "2"))  # so that both have been live, and are online
    releases.rollback(served)
    expected, stop = tmp_path / "expected.json", tmp_path / "stop"
    expected.write_text(json.dumps(expectations(world, served)))
    ready = [tmp_path / f"ready{place}" for place in range(len(KINDS))]
    readers = [
        forked.start(live_reader.read, kind, str(served.settings.home), str(expected), str(mark), str(stop))
        for kind, mark in zip(KINDS, ready, strict=True)
    ]
    while not all(mark.exists() for mark in ready):
        time.sleep(0.02)
    for switch in range(SWITCHES):
        if switch % 2 == 0:
            releases.promote(served, releases.find(served, "2"))
        else:
            releases.rollback(served)
    stop.touch()
    reports = [reader.wait().result for reader in readers]
    for report in reports:
        assert report["wrong"] == []
        assert set(report["reads"]) == {"related_products__v1", "related_products__v2"}
        assert report["switches"] >= SWITCHES // 2
    for kind, asks in (("edge", "Qdrant Edge, through the recommender"), ("online", "Feast's online store")):
        told = [report for report in reports if report["kind"] == kind]
        record_property(
            "fault",
            {
                "fault": f"`promote` and `rollback` in turn under readers of {asks}",
                "switches": SWITCHES,
                "readers": len(told),
                "reads": sum(sum(report["reads"].values()) for report in told),
                "errors": sum(len(report["wrong"]) for report in told),
                "seen": f"every read of one release alone; {sum(report['switches'] for report in told)} changes seen",
            },
        )
