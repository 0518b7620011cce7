"""Count the pairs of order lines on a cluster of this machine's cores, beside one process: the overhead of Ray.

    python benchmarks/cluster.py --lines 2000000 --output benchmarks/results/cluster.json

Lines are those of `graph_build.py`. Both ways read the same file, take turns, and must find the same pairs. The cluster
is started, and its workers have counted a few lines, before the clock starts. Seconds of its steps are those that the
command waits for. Sizes that the output holds already stay.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import duckdb

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.graph_build import LARGEST, WARM, generate
from benchmarks.measuring import Ratio, add_output, finish
from twinvec.catalogue.counting import count_pairs
from twinvec.engine import Cluster, open_cluster
from twinvec.settings import Settings

TARGET = 1.3
Found = tuple[int, int]


def count(folder: Path, cluster: Cluster | None) -> Found:
    """Count as mining does; return the number of pairs and the sum of their counts."""
    with duckdb.connect(config={"temp_directory": str(folder / "spill")}) as connection:
        connection.execute(
            f"""CREATE TABLE known AS SELECT product_id, row_number() OVER (ORDER BY product_id) - 1 AS item
                FROM '{folder}/products.parquet'"""
        )
        names = connection.sql("SELECT product_id FROM known ORDER BY item").to_arrow_table()["product_id"]
        lines = f"SELECT order_id AS name, item FROM '{folder}/orders.parquet' JOIN known USING (product_id)"
        count_pairs(connection, lines, names.combine_chunks(), "pair", LARGEST, cluster)
        ((pairs, total),) = connection.execute("SELECT count(*), sum(count) FROM pair").fetchall()
        return int(pairs), int(total)


def timed_steps(cluster: Cluster) -> tuple[Cluster, dict[str, float]]:
    """Return a cluster that adds up how long it runs the tasks of each kind, and these seconds."""
    seconds: dict[str, float] = defaultdict(float)

    def run(work: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
        started = time.perf_counter()
        results = cluster.run(work, tasks)
        seconds[work.__name__.strip("_")] += time.perf_counter() - started
        return results

    return Cluster(run, cluster.store, cluster.partitions, cluster.memory_limit), seconds


def measure(lines: int, repeats: int, seed: int, home: Path) -> dict[str, Any]:
    """Measure one size on a cluster with as many workers as there are cores."""
    for name, size in (("warm", WARM), ("log", lines)):
        (home / name).mkdir()
        generate(home / name, size, seed)
    settings = Settings(home=home, engine="ray", ray={"memory_limit": "2GB"})
    seconds: dict[str, list[float]] = {"local": [], "ray": []}
    with open_cluster(settings) as cluster:
        assert cluster is not None
        timed, steps = timed_steps(cluster)
        count(home / "warm", timed)
        steps.clear()
        found: set[Found] = set()
        for turn in range(repeats):
            for way in ("local", "ray") if turn % 2 else ("ray", "local"):
                started = time.perf_counter()
                found.add(count(home / "log", timed if way == "ray" else None))
                seconds[way].append(time.perf_counter() - started)
    if len(found) > 1:
        raise SystemExit(f"the two ways found different pairs: {found}")
    ((pairs, _),) = found
    waited = {name: value / repeats for name, value in steps.items()}
    return {
        "lines": lines,
        "pairs": pairs,
        "partitions": cluster.partitions,
        "seconds": {way: median(each) for way, each in seconds.items()},
        "seconds_of_steps": {**waited, "the rest": median(seconds["ray"]) - sum(waited.values())},
        "rounds": seconds,
        "ratio": median(seconds["ray"]) / median(seconds["local"]),
    }


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    add_output(parser)
    options = parser.parse_args()
    sizes: dict[str, Any] = {}
    if options.output is not None and options.output.exists():
        sizes = json.loads(options.output.read_text("utf-8"))["sizes"]
    with tempfile.TemporaryDirectory() as folder:
        sizes[str(options.lines)] = measure(options.lines, options.repeats, options.seed, Path(folder))
    ratios = [
        Ratio(f"{int(size):,} lines on Ray", "one process", each["ratio"], TARGET, least=False)
        for size, each in sizes.items()
    ]
    settings = {"cores": os.cpu_count(), "threads": os.environ.get("OMP_NUM_THREADS")}
    finish(options.output, settings, ratios, {"sizes": sizes}, ("ray", "duckdb", "numpy"))


if __name__ == "__main__":
    main()
