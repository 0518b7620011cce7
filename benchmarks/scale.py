"""One epoch of training and inference of every product, on graphs that grow to 6.5 million products.

    python benchmarks/scale.py --products 50000 --output benchmarks/results/scale_50000.json
    python benchmarks/scale.py --products 650000 --output benchmarks/results/scale_650000.json
    python benchmarks/scale.py --chart benchmarks/results/scale_[0-9]*.json

The graph has 9 co-purchase and 65 co-view edges to 6.5 products, as the largest described has; content is random.
The model is that of `related.recipe`, as `twinvec run` trains it. Its plan has the proximity of all products and its
factors, if it needs them. `--recipe paper` is MERLIN's as published. With `--steps` the epoch ends after so many
batches, and its seconds are extrapolated to all of them, which the result says.
With `--walks` the walks of so many random products are made, whose rows stand for those of all; the seconds of the
others are extrapolated, which the result says, too.
Memory is the peak of the process beside mapped files up to the end of each stage; what `--limit` says is held as a
bound.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.graphs import FirstBatches, generate_content, generate_graph
from benchmarks.measuring import AnonymousPeak, Ratio, add_output, finish, lines
from pipelines.related.fitting import fanout, make_plan
from pipelines.related.models import load_model
from twinvec.nn.proximity import directed_nearness
from twinvec.nn.sampling.samplers import make_sampler
from twinvec.nn.training.inference import infer_dual
from twinvec.nn.training.loop import train
from twinvec.settings import RelatedSettings

Result = TypeVar("Result")
Rows = Callable[[npt.NDArray[np.int64]], sp.csr_array]
STAGES = ("generating", "plan", "epoch", "inference")


class Stages:
    """Seconds of each stage, and the peak memory of the process up to its end."""

    def __init__(self, peak: AnonymousPeak) -> None:
        self.peak = peak
        self.seconds: dict[str, float] = {}
        self.peak_mib: dict[str, float] = {}

    def run(self, name: str, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do the work of a stage, called with `arguments`."""
        started = time.perf_counter()
        result = work(*arguments)
        self.seconds[name] = time.perf_counter() - started
        self.peak_mib[name] = self.peak.mib
        print(f"{name}: {self.seconds[name]:.1f} s, {self.peak_mib[name]:,.0f} MiB", file=sys.stderr)
        return result


class SampledWalks:
    """Stands in for `directed_nearness`: the rows of some random products, made once, are repeated for all.

    Attributes:
        spared: Seconds that the rows of all others would have taken.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.spared = count, seed, 0.0

    def __call__(self, copurchase: sp.csr_array, *settings: Any) -> Rows:
        """Return a function of nodes, as `directed_nearness` does."""
        products = copurchase.shape[0]
        rows = directed_nearness(copurchase, *settings)
        some = np.sort(np.random.default_rng(self.seed).permutation(products)[: self.count])
        started = time.perf_counter()
        made = rows(some)
        self.spared = (time.perf_counter() - started) * (products / len(some) - 1)
        return lambda nodes: made[nodes % len(some)]


def measure(
    products: int, steps: int | None, width: int, seed: int, recipe: str = "twinvec", walks: int | None = None
) -> dict[str, Any]:
    """All stages at one size."""
    load_model(recipe)  # What chooses the proximity takes the function before it is replaced.
    sampled = SampledWalks(walks or products, seed)
    instead = patch("twinvec.nn.proximity.directed_nearness", sampled) if walks else nullcontext()
    with AnonymousPeak() as peak, instead:
        figures = measure_stages(Stages(peak), products, steps, width, seed, recipe)
    figures["seconds"]["plan"] += sampled.spared
    return {**figures, "walks": walks, "peak_mib": peak.mib}


def measure_stages(
    stages: Stages, products: int, steps: int | None, width: int, seed: int, recipe: str
) -> dict[str, Any]:
    """Run the stages one after the other."""
    options = RelatedSettings(recipe=recipe)
    graph = stages.run("generating", generate_graph, products, seed)
    content = generate_content(products, width, seed)
    edges = {"copurchase": len(graph.copurchase), "coview": len(graph.coview)}
    plan = stages.run("plan", make_plan, graph, content, options, seed)
    del graph, content  # the plan has what it needs of them
    every = sum(1 for _ in plan.objective.batches(np.random.default_rng(seed)))
    done = min(steps or every, every)
    fanouts = {name: fanout(name, options) for name in plan.graph}
    hops = len(plan.model.layers)
    sampler = stages.run("sampler", make_sampler, "dgl", plan.graph, fanouts, hops, seed)
    objective = FirstBatches(plan.objective, done)
    (epoch,) = stages.run(
        "epoch", train, plan.model, plan.features, sampler, objective, 1, plan.learning_rate, 0.0, seed
    )
    del sampler
    for vectors in stages.run("inference", infer_dual, plan.model, plan.features, plan.graph):
        if not all(bool(part.isfinite().all()) for part in torch.split(vectors, 2**16)):
            raise SystemExit("a vector is not finite")
    whole = epoch.seconds * every / done
    return {
        "recipe": recipe,
        "products": products,
        "edges": edges,
        "batches": {"of an epoch": every, "run": done},
        "epochs": plan.epochs,
        "epoch_is_extrapolated": done < every,
        "seconds": {**stages.seconds, "epoch": whole},
        "edges_per_second": {"trained": edges["copurchase"] / whole, "aggregated": epoch.edges_per_second},
        "nodes_per_second": 2 * products / stages.seconds["inference"],
        "loss": epoch.loss,
        "peak_mib_after": stages.peak_mib,
    }


def chart(files: list[Path]) -> None:
    """Draw the growth over the results of several sizes, as `scale.png` beside them."""
    rows: list[Mapping[str, Any]] = sorted(
        (json.loads(file.read_text("utf-8")) for file in files), key=lambda row: row["products"]
    )
    sizes = [row["products"] for row in rows]
    series = {f"{stage}, s": (sizes, [row["seconds"][stage] for row in rows]) for stage in STAGES}
    series["peak memory, MiB"] = (sizes, [row["peak_mib"] for row in rows])
    lines(files[0].with_name("scale.json"), "Growth with the catalogue", "products", "seconds, MiB", series)


def main() -> None:
    """Measure and print, or draw what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--products", type=int, default=65_000)
    parser.add_argument("--steps", type=int, help="batches of the epoch; all, if not given")
    parser.add_argument("--walks", type=int, help="products whose walks are made; all, if not given")
    parser.add_argument("--width", type=int, default=128, help="length of the content features")
    parser.add_argument("--recipe", default="twinvec", help="name of the model")
    parser.add_argument("--limit", type=float, default=20.0, help="GiB that it may take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chart", type=Path, nargs="+", help="results to draw, in place of measuring")
    add_output(parser)
    options = parser.parse_args()
    if options.chart:
        chart(options.chart)
        return
    figures = measure(
        options.products, options.steps, options.width, options.seed, options.recipe, options.walks
    )
    share = figures["peak_mib"] / 1024 / options.limit
    ratio = Ratio("peak memory", f"{options.limit:g} GiB", share, 1.0, least=False)
    settings = {key: value for key, value in vars(options).items() if key != "chart"}
    finish(options.output, settings, [ratio], figures, ("dgl", "torch", "numpy"))


if __name__ == "__main__":
    main()
