"""Vectors of all nodes a layer at a time, beside the same through blocks of each batch's whole neighbourhood.

    python benchmarks/inference.py --output benchmarks/results/inference.json

The model is that of the default recipe (untrained, which costs the same), on both sides; the blocks are DGL's, with all
neighbours in place of some. In small batches, nodes that batches share are computed again for each; in large ones the
neighbourhood is the graph. The reference is the faster of the batch sizes tried. What is timed of the blocks may be a
share of the batches, and is then given a node.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.graphs import generate_content, generate_graph
from benchmarks.measuring import Ratio, add_output, bars, finish, in_turns, medians, peak_mib
from pipelines.related.models import twinvec
from twinvec.nn.features import Features
from twinvec.nn.models import Twinvec
from twinvec.nn.models.twinvec import NeighbourLayer
from twinvec.nn.sampling.samplers import make_sampler
from twinvec.nn.training.inference import infer
from twinvec.settings import RelatedSettings

OURS = "layer by layer"


def by_blocks(
    model: Twinvec, features: Features, sampler: Any, batch: int, steps: int
) -> Callable[[], torch.Tensor]:
    """Vectors of the first `steps` batches of nodes in random order, over all their neighbours."""
    order = torch.randperm(features.nodes, generator=torch.Generator().manual_seed(0))
    batches = torch.split(order, batch)[:steps]

    @torch.inference_mode()
    def run() -> torch.Tensor:
        model.eval()
        vectors = []
        for nodes in batches:
            block = sampler.sample(nodes)
            vectors.append(model(*features.of(block.nodes), block))
        return torch.cat(vectors)

    return run


def measure(products: int, batches: list[int], steps: int, repeats: int, width: int) -> dict[str, Any]:
    """Nodes/s of each way, and the largest difference between their vectors."""
    options = RelatedSettings()
    graph = generate_graph(products, seed=0)
    cover = twinvec.relations(graph)
    dimension = options.dimension
    factors = generate_content(2 * products, dimension, seed=1)
    features = Features(generate_content(products, width, seed=0), factors)
    torch.manual_seed(0)
    model = Twinvec(width, dimension, options.twinvec.hidden, dimension, list(cover))
    for layer in model.layers:
        assert isinstance(layer, NeighbourLayer)
        torch.nn.init.normal_(layer.out.weight, std=0.1)  # starts at zero, where neighbours change nothing
    sampler = make_sampler("dgl", cover, dict.fromkeys(cover, -1), len(model.layers), seed=0)
    order = torch.randperm(features.nodes, generator=torch.Generator().manual_seed(0))
    runs: dict[str, Callable[[], Any]] = {OURS: partial(infer, model, features, cover)}
    done = {OURS: features.nodes}
    for batch in batches:
        name = f"blocks of {batch:,}"
        runs[name] = by_blocks(model, features, sampler, batch, steps)
        done[name] = min(steps * batch, features.nodes)
    vectors = {name: run() for name, run in runs.items()}
    difference = max(
        float((vectors[name] - vectors[OURS][order[: done[name]]]).abs().max())
        for name in runs
        if name != OURS
    )
    seconds = medians(in_turns(runs, repeats))
    return {
        "nodes": features.nodes,
        "nodes_done": done,
        "seconds": seconds,
        "nodes_per_second": {name: done[name] / seconds[name] for name in runs},
        "largest_difference": difference,
        "peak_mib": peak_mib(),
    }


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=65_000, help="products; twice as many nodes")
    parser.add_argument("--batches", type=int, nargs="+", default=[1_024, 10_000], help="nodes in a block")
    parser.add_argument("--steps", type=int, default=20, help="blocks timed, at most")
    parser.add_argument("--width", type=int, default=128, help="length of the content features")
    parser.add_argument("--repeats", type=int, default=3)
    add_output(parser)
    options = parser.parse_args()
    figures = measure(options.size, options.batches, options.steps, options.repeats, options.width)
    rate = figures["nodes_per_second"]
    best = max((name for name in rate if name != OURS), key=rate.__getitem__)
    ratio = Ratio("nodes/s of full-graph inference", best, rate[OURS] / rate[best], 5.0, least=True)
    finish(options.output, vars(options), [ratio], figures, ("dgl", "torch", "numpy"))
    bars(options.output, f"Inference, {options.size:,} products", "nodes/s", rate)


if __name__ == "__main__":
    main()
