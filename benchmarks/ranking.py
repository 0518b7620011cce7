"""Seconds and memory of the ranking stage on graphs that grow, in the proportions of `benchmarks/graphs.py`.

    python benchmarks/ranking.py --products 7000 20000 50000 --output benchmarks/results/ranking.json

Vectors and prices are random: the time does not depend on what they say. Memory is the peak of a process of its own for
each size.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.graphs import generate_graph
from benchmarks.measuring import add_output, finish, peak_mib
from pipelines.ranking.catalogue import Catalogue
from pipelines.ranking.content import Content
from pipelines.ranking.features import Vectors
from pipelines.ranking.learning import hide_in_turn
from pipelines.ranking.listing import make_lists
from pipelines.ranking.ranker import fit
from twinvec.settings import RankingSettings

WIDTH = 128


def measure(products: int, seed: int) -> dict[str, Any]:
    """Return the seconds of each step at one size, and the peak memory."""
    random = np.random.default_rng(seed)
    options = RankingSettings(threads=1)
    ids = pa.array(np.char.zfill(np.arange(products).astype(str), 8))
    graph = replace(generate_graph(products, seed), product_ids=ids)
    nothing = np.full(products, -1, np.int32)
    content = Content(nothing[:, None], nothing, nothing, random.random(products).astype(np.float32), None)
    vectors = Vectors(*random.standard_normal((2, products, WIDTH)).astype(np.float32))
    catalogue = Catalogue(graph, content, options)
    seconds: dict[str, float] = {}
    started = time.perf_counter()
    examples = hide_in_turn(catalogue, graph.copurchase, seed)
    seconds["examples"] = time.perf_counter() - started
    started = time.perf_counter()
    ranker = fit(examples, options, seed)
    seconds["trees"] = time.perf_counter() - started
    del examples
    started = time.perf_counter()
    known = catalogue.known(graph.copurchase, vectors)
    make_lists(known, ranker, np.arange(products), options)
    seconds["lists"] = time.perf_counter() - started
    return {"products": products, "seconds": seconds, "peak_mib": peak_mib()}


def main() -> None:
    """Measure every size in a process of its own, and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--products", type=int, nargs="+", default=[7_000, 20_000, 50_000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--alone", action="store_true", help="measure one size, and print it as JSON")
    add_output(parser)
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(measure(arguments.products[0], arguments.seed)))
        return
    rows = []
    for products in arguments.products:
        command = [
            sys.executable,
            __file__,
            "--alone",
            "--products",
            str(products),
            "--seed",
            str(arguments.seed),
        ]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], file=sys.stderr)
    settings = {"products": arguments.products, "seed": arguments.seed}
    finish(arguments.output, settings, [], {"rows": rows}, ["lightgbm", "numpy", "scipy"])


if __name__ == "__main__":
    main()
