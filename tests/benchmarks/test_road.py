"""The benchmark of every stage: the stages that there are, what it keeps, and the exponents."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import road, table
from benchmarks.measuring import finish


def test_every_space_of_a_shop_without_sellers_is_a_stage_between_snapshot_and_release() -> None:
    names = road.stage_names()
    assert names[:2] == ["store", "snapshot"]
    assert {"category", "graph", "text", "image", "aligned", "related"} < set(names)
    assert "sellers" not in names
    assert names.index("related") < names.index("publish")


def test_growth_is_between_the_two_largest_sizes() -> None:
    sizes = {
        size: {"text": {"seconds": size / 10, "peak_mib": 100.0}, "map": {"seconds": 1e-6 * size**2}}
        for size in (10, 100, 1_000)
    }
    assert road.growth(sizes, "seconds") == {"text": 1.0, "map": 2.0}
    assert road.growth({10: sizes[10]}, "seconds") == {}


def test_sizes_that_were_measured_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "road.json"
    assert road.read_sizes(path) == {}
    path.write_text(json.dumps({"sizes": {"200": {"store": {"seconds": 1.0, "peak_mib": 2.0}}}}))
    assert road.read_sizes(path) == {200: {"store": {"seconds": 1.0, "peak_mib": 2.0}}}


def test_the_table_has_all_sizes_and_the_memory_of_the_largest(tmp_path: Path) -> None:
    sizes = {
        "900": {"text": {"seconds": 2.0, "peak_mib": 1024.0}},
        "3600": {"text": {"seconds": 8.0, "peak_mib": 3072.0}},
    }
    finish(
        tmp_path / "road.json", {}, [], {"sizes": sizes, "exponent": {"seconds": {"text": 1.0}}}, ("numpy",)
    )
    lines = table.road(json.loads((tmp_path / "road.json").read_text()))
    assert lines[:3] == [
        "| stage | 900 products | 3,600 products | exponent | peak memory at 3,600 |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| text | 2.0 s | 8.0 s | 1.00 | 3.0 GiB |",
    ]
