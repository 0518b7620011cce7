"""Processes that read while releases switch."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from twinvec import releases
from twinvec.workspace import Workspace

ROOT = Path(__file__).parents[2]
KINDS = ("edge", "edge", "online", "online")
SWITCHES = 20


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
def test_readers_see_one_release_or_the_other(world: Any, served: Workspace, tmp_path: Path) -> None:
    releases.promote(served, releases.find(served, "2"))  # so that both have been live, and are online
    releases.rollback(served)
    expected, stop = tmp_path / "expected.json", tmp_path / "stop"
    expected.write_text(json.dumps(expectations(world, served)))
    readers = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", Path(__file__).with_name("live_reader.py"), kind]
            + [str(each) for each in (served.settings.home, expected, stop)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for kind in KINDS
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    began = time.monotonic()
    for switch in range(SWITCHES):
        if switch % 2 == 0:
            releases.promote(served, releases.find(served, "2"))
        else:
            releases.rollback(served)
    seconds = time.monotonic() - began
    stop.touch()
    reports = [json.loads(reader.communicate(timeout=60)[0]) for reader in readers]

    reads = sum(sum(report["reads"].values()) for report in reports)
    errors = sum(len(report["wrong"]) for report in reports)
    sys.stdout.write(
        f"\n{SWITCHES} switches in {seconds:.0f} s, {len(readers)} readers, {reads:,} reads, {errors} errors; "
        + "; ".join(
            f"{r['kind']} {sum(r['reads'].values()):,} ({r['switches']} switches seen)" for r in reports
        )
        + "\n"
    )
    for report in reports:
        assert report["wrong"] == []
        assert set(report["reads"]) == {"related_products__v1", "related_products__v2"}
        assert report["switches"] >= SWITCHES // 2
