"""Seconds and peak memory of every stage of the road, on synthetic stores that grow.

    python benchmarks/road.py --products 2000 8000 --output benchmarks/results/road.json
    python benchmarks/road.py --products 50000 --output benchmarks/results/road.json

The stages are those of `twinvec demo`, with its settings: a store with images, its snapshot, every space, the release.
Then come what is done with a release: queries, evaluation by kind of edge, a map, and an update to a store of which
1% of the products changed. Each stage runs in a process of its own, so that its peak memory is its own; libraries are
imported before the clock starts. Sizes that the output holds already stay, so that they can be measured one at a time.

The exponent of growth is the slope of log(seconds) over log(products) between the two largest sizes. What a stage costs
whatever the size lowers it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring import add_output, finish, lines, peak_mib

BEFORE, AFTER = ("store", "snapshot"), ("publish", "promote", "queries", "evaluate", "map", "update")
QUERIES = 200
SHARE_CHANGED = 0.01
Work: TypeAlias = Callable[[], object]


def stage_names() -> list[str]:
    """Return the names of all stages, in order; spaces that need more than products are left out."""
    from twinvec.spaces import spaces

    return [*BEFORE, *(space.name for space in spaces() if space.tables == ("products",)), *AFTER]


def prepare(name: str, folder: Path, products: int, seed: int) -> Work:
    """Import what a stage needs and open its stores; return the function that does its work."""
    import twinvec
    from benchmarks.update import change
    from pipelines.command.demo import BRIEF
    from pipelines.evaluation import index_curve, maps, slices
    from pipelines.update.pipeline import update
    from twinvec import releases
    from twinvec.catalogue.synthetic.store import generate
    from twinvec.plugins import load_reference
    from twinvec.spaces import find_space

    settings: dict[str, Any] = dict(BRIEF)
    home = twinvec.open(folder / "home", None, **settings)
    store = folder / "store"

    def query() -> None:
        with home.workspace.snapshot().connect() as connection:
            rows = connection.execute(f"SELECT product_id FROM products LIMIT {QUERIES}").fetchall()
        for (product_id,) in rows:
            home.related(product_id)

    def draw() -> None:
        maps.draw_version(home.workspace, home.workspace.version("related"))
        live = releases.live(home.workspace)
        assert live is not None
        index_curve.measure_release(home.workspace, live)

    def change_and_update() -> Work:
        change(store, SHARE_CHANGED, seed)
        home.ingest(store)
        return lambda: update(home.workspace, home.workspace.snapshot())

    stages: Mapping[str, Work] = {
        "store": lambda: generate(store, products, seed, images=True),
        "snapshot": lambda: home.ingest(store),
        "publish": home.publish,
        "promote": home.promote,
        "queries": query,
        "evaluate": lambda: slices.evaluate_slices(home.workspace, home.workspace.version("related")),
        "map": draw,
    }
    if name == "update":
        return change_and_update()
    if name in stages:
        return stages[name]
    load_reference(find_space(name).train)
    return lambda: home.train(name)


def measure_stage(name: str, folder: Path, products: int, seed: int) -> dict[str, float]:
    """Do the work of a stage in this process; return its seconds and its peak memory in MiB."""
    work = prepare(name, folder, products, seed)
    started = time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - started, "peak_mib": peak_mib()}


def measure(products: int, seed: int, folder: Path) -> dict[str, dict[str, float]]:
    """Return seconds and peak memory of every stage at one size, each in a process of its own."""
    figures = {}
    for name in stage_names():
        command = [sys.executable, __file__, "--products", str(products), "--seed", str(seed)]
        done = subprocess.run(
            [*command, "--stage", name, "--folder", str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        figures[name] = json.loads(done.stdout.splitlines()[-1])
        print(f"{products:,} products, {name}: {figures[name]['seconds']:.1f} s", file=sys.stderr, flush=True)
    return figures


def growth(sizes: Mapping[int, Mapping[str, Mapping[str, float]]], figure: str) -> dict[str, float]:
    """Return the exponent of growth of a figure of each stage, between the two largest sizes; empty for one size.

    Example:
        >>> at = {100: {"text": {"seconds": 1.0}}, 400: {"text": {"seconds": 8.0}}}
        >>> growth(at, "seconds")
        {'text': 1.5}
    """
    if len(sizes) < 2:
        return {}
    small, large = sorted(sizes)[-2:]
    return {
        name: round(math.log(row[figure] / sizes[small][name][figure]) / math.log(large / small), 2)
        for name, row in sizes[large].items()
        if name in sizes[small]
    }


def chart(output: Path | None, sizes: Mapping[int, Mapping[str, Mapping[str, float]]]) -> None:
    """Draw the seconds of each stage over the number of products beside the JSON file."""
    counts = sorted(sizes)
    series = {
        name: (counts, [sizes[count][name]["seconds"] for count in counts])
        for name in sizes[counts[-1]]
        if all(name in sizes[count] for count in counts)
    }
    lines(output, "Stages of the road", "products", "seconds", series)


def read_sizes(path: Path | None) -> dict[int, dict[str, dict[str, float]]]:
    """Return the sizes that an earlier run measured."""
    if path is None or not path.exists():
        return {}
    return {int(size): row for size, row in json.loads(path.read_text("utf-8"))["sizes"].items()}


def run(counts: Sequence[int], seed: int, output: Path | None) -> dict[str, Any]:
    """Measure some sizes, beside those that the output has; write the figures and the chart."""
    sizes = read_sizes(output)
    record: dict[str, Any] = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            sizes[count] = measure(count, seed, Path(folder))
        figures = {
            "sizes": {str(size): sizes[size] for size in sorted(sizes)},
            "exponent": {figure: growth(sizes, figure) for figure in ("seconds", "peak_mib")},
        }
        settings = {"products": sorted(sizes), "seed": seed, "threads": os.environ.get("OMP_NUM_THREADS")}
        record = finish(output, settings, [], figures, ("torch", "duckdb", "qdrant-edge-py", "numpy"))
        chart(output, sizes)
    return record


def main() -> None:
    """Measure all stages, or one stage in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--products", type=int, nargs="+", default=[2_000, 8_000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stage", help="stage to run in this process, in --folder")
    parser.add_argument("--folder", type=Path, help="folder of the store and the home, for --stage")
    add_output(parser)
    options = parser.parse_args()
    if options.stage:
        print(json.dumps(measure_stage(options.stage, options.folder, options.products[0], options.seed)))
    else:
        run(options.products, options.seed, options.output)


if __name__ == "__main__":
    main()
