"""Seconds of ranking on the fly for products that are not in the catalogue, beside the search of bare Edge, in one run.

    python benchmarks/cold_ranking.py HOME --output benchmarks/results/cold_ranking.json

The live release of the home has a ranker for products without edges. Products of its catalogue stand in for new ones,
from their aligned vectors on: the encoder is not measured. Each is measured in turns: the search of the 150 candidates
in Edge, the ranking of these, and the comparison with all products that comes before both. The processor's seconds of
the ranking stand beside those of the clock: other work on the machine does not change them much.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring import Ratio, add_output, finish
from pipelines.cold_start.encoders import find_encoders
from pipelines.ranking.cold import CANDIDATES, NEIGHBOURS, nearest_rows, weigh
from twinvec.errors import StateError
from twinvec.serving.related import live_collection
from twinvec.settings import load_settings
from twinvec.workspace import Workspace

TARGET = 0.010


def measure(home: Path, queries: int, seed: int) -> dict[str, Any]:
    """Return the seconds of each step for each query: name → [queries]."""
    settings = load_settings(home=home)
    workspace = Workspace(settings)
    index = workspace.index
    collection = live_collection(index, settings.release)
    encoders = find_encoders(workspace, collection)
    products, ranker = encoders.products, encoders.ranker
    if ranker is None:
        raise StateError(
            f"{collection} has no ranker for products without edges", "`TWINVEC_RANKING__COLD=on twinvec run`"
        )
    ef = index.search_ef(collection) or settings.qdrant.ef
    rows = np.random.default_rng(seed).integers(0, len(products.vectors), queries + 20)
    seconds: dict[str, list[float]] = {"compare": [], "search": [], "rank": [], "rank_cpu": []}
    for row in rows:
        path = encoders.paths[row % len(encoders.paths)] if encoders.paths else ()
        started = time.perf_counter()
        cosines = products.cosines(products.vectors[row].astype(np.float32))
        nearest = nearest_rows(cosines, NEIGHBOURS)
        compared = time.perf_counter()
        sources, _ = index.vectors(collection, products.points(nearest))
        query = (weigh(cosines[nearest]) @ sources)[None]
        asked = time.perf_counter()
        (hits,) = index.search(collection, query, CANDIDATES, None, ef)
        found = time.perf_counter()
        used = time.thread_time()
        ranker.rank(hits, cosines, path)
        used = time.thread_time() - used
        ended = time.perf_counter()
        for name, spent in (
            ("compare", compared - started),
            ("search", found - asked),
            ("rank", ended - found),
            ("rank_cpu", used),
        ):
            seconds[name].append(spent)
    # The first ones warm what a service keeps warm.
    return {"products": len(products.vectors), "seconds": {name: each[20:] for name, each in seconds.items()}}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "home", type=Path, help="home whose live release has a ranker for products without edges"
    )
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    add_output(parser)
    options = parser.parse_args()
    measured = measure(options.home, options.queries, options.seed)
    steps = {
        name: {"p50_ms": float(np.percentile(each, 50) * 1e3), "p99_ms": float(np.percentile(each, 99) * 1e3)}
        for name, each in measured["seconds"].items()
    }
    ratio = Ratio(
        "p99 of ranking 150 candidates", "10 ms", steps["rank"]["p99_ms"] / TARGET / 1e3, 1.0, least=False
    )
    figures = {"products": measured["products"], "candidates": CANDIDATES, "steps": steps}
    settings = {"queries": options.queries, "seed": options.seed}
    finish(options.output, settings, [ratio], figures, ["lightgbm", "numpy", "scipy", "qdrant-edge-py"])


if __name__ == "__main__":
    main()
