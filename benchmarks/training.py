"""An epoch of our training beside the same model written as DGL's tutorials have it, on the same graph.

    python benchmarks/training.py --output benchmarks/results/training.json

The model is MERLIN's as published (the recipe `paper`): two layers, sums over co-purchase and co-view neighbours, a
margin loss over an edge and its uniform negatives; the same fan-outs, batch, width and optimiser on both sides. DGL's
side is that of its guide to link prediction on heterogeneous graphs: `dgl.nn.HeteroGraphConv` of `GraphConv`s, and a
`DataLoader` over `as_edge_prediction_sampler` with the `Uniform` negative sampler. Edges/s are co-purchase edges that
were trained on. They run in turns, each in a process of its own, a training of some epochs of the same steps each
time; the first does not count. What is stated is of the median epoch.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import dgl
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.graphs import COPURCHASES, COVIEWS, FirstBatches, generate_content, generate_graph
from benchmarks.measuring import Ratio, add_output, bars, finish, peak_mib
from pipelines.graph.product_graph import ProductGraph
from pipelines.related.fitting import fanout
from pipelines.related.models import merlin
from twinvec.nn.losses.margin import MarginObjective, margin_loss
from twinvec.nn.sampling.samplers import make_sampler
from twinvec.nn.training.loop import train
from twinvec.settings import RelatedSettings

BOUGHT, BOUGHT_BACK = ("source", "copurchase", "target"), ("target", "copurchase_back", "source")
VIEWED, VIEWED_BACK = ("source", "coview", "target"), ("target", "coview_back", "source")
Result = TypeVar("Result")


class TutorialModel(nn.Module):
    """Equations 3 and 4 of MERLIN, by `HeteroGraphConv`: W a kind of edge, shared by its two directions."""

    def __init__(self, content: int, dimension: int, layers: int) -> None:
        super().__init__()
        self.convolutions, self.combine = nn.ModuleList(), nn.ModuleList()
        for layer in range(layers):
            inputs = dimension if layer else content
            kinds = [
                dgl.nn.GraphConv(inputs, dimension, norm="none", bias=False, allow_zero_in_degree=True)
                for _ in range(2)
            ]
            by_type = dict(
                zip(
                    (BOUGHT[1], BOUGHT_BACK[1], VIEWED[1], VIEWED_BACK[1]),
                    (kinds[0], kinds[0], kinds[1], kinds[1]),
                    strict=True,
                )
            )
            self.convolutions.append(
                dgl.nn.HeteroGraphConv(by_type, aggregate=lambda parts, _: torch.cat(parts, 1))
            )
            self.combine.append(nn.Linear(2 * dimension, dimension))

    def forward(self, blocks: list[Any], vectors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Vectors of the last block's outputs by node type."""
        for index, block in enumerate(blocks):
            if index:
                vectors = {name: torch.relu(values) for name, values in vectors.items()}
            summed = self.convolutions[index](block, vectors)
            vectors = {name: self.combine[index](values) for name, values in summed.items()}
        return vectors


def tutorial(
    graph: ProductGraph, content: Tensor, options: RelatedSettings, steps: int, epochs: int
) -> Callable[[], list[float]]:
    """A training by DGL's, which gives the seconds of each epoch."""
    ends = {
        kind: (torch.from_numpy(edges.source), torch.from_numpy(edges.target))
        for kind, edges in ((BOUGHT, graph.copurchase), (VIEWED, graph.coview))
    }
    ends |= {BOUGHT_BACK: ends[BOUGHT][::-1], VIEWED_BACK: ends[VIEWED][::-1]}
    heterograph = dgl.heterograph(ends, num_nodes_dict={"source": graph.products, "target": graph.products})
    fanouts = {
        kind: options.fanout_copurchase if kind in (BOUGHT, BOUGHT_BACK) else options.fanout_coview
        for kind in ends
    }
    recipe = options.paper
    sampler = dgl.dataloading.as_edge_prediction_sampler(
        dgl.dataloading.NeighborSampler([fanouts] * options.layers),
        negative_sampler=dgl.dataloading.negative_sampler.Uniform(recipe.negatives),
    )
    count = min(steps * recipe.batch, len(graph.copurchase))
    chosen = {BOUGHT: torch.randperm(len(graph.copurchase))[:count]}
    loader = dgl.dataloading.DataLoader(heterograph, chosen, sampler, batch_size=recipe.batch, shuffle=True)
    model = TutorialModel(content.shape[1], options.dimension, options.layers)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate)

    def epoch() -> float:
        started = time.perf_counter()
        for inputs, positive, negative, blocks in loader:
            vectors = model(blocks, {name: content[nodes] for name, nodes in inputs.items()})
            source, target = positive.edges(etype=BOUGHT)
            _, other = negative.edges(etype=BOUGHT)
            loss = margin_loss(
                vectors["source"][source],
                vectors["target"][target],
                vectors["target"][other].view(len(source), recipe.negatives, -1),
                recipe.margin,
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        return time.perf_counter() - started

    return lambda: [epoch() for _ in range(epochs)]


def ours(
    graph: ProductGraph, content: Tensor, options: RelatedSettings, steps: int, epochs: int
) -> Callable[[], list[float]]:
    """A training by `twinvec.nn.training.loop.train` and the plan of the recipe: the seconds of each epoch."""
    plan = merlin.plan(graph, content, options, seed=0)
    assert isinstance(plan.objective, MarginObjective)
    fanouts = {name: fanout(name, options) for name in plan.graph}
    sampler = make_sampler(options.sampler, plan.graph, fanouts, options.layers, seed=0)
    objective = FirstBatches(plan.objective, steps)

    def training() -> list[float]:
        history = train(
            plan.model,
            plan.features,
            sampler,
            objective,
            epochs,
            plan.learning_rate,
            plan.weight_decay,
            seed=0,
        )
        return [epoch.seconds for epoch in history]

    return training


SIDES = {"twinvec": ours, "DGL tutorial": tutorial}
_training: Callable[[], list[float]] | None = None  # of the side that this process is for


def prepare(side: str, products: int, steps: int, epochs: int, width: int, options: RelatedSettings) -> None:
    """Make this process one of a side, with a graph that is the same in both."""
    global _training
    graph, content = generate_graph(products, seed=0), generate_content(products, width, seed=0)
    _training = SIDES[side](graph, content, options, steps, epochs)


def run_training() -> list[float]:
    """Seconds of each epoch of a training by this process's side."""
    assert _training is not None  # `prepare` was called first
    return _training()


def measure(
    products: int, steps: int, epochs: int, repeats: int, options: RelatedSettings, width: int
) -> dict[str, Any]:
    """Seconds an epoch of each, and edges/s."""
    edges = round(products * COPURCHASES)
    steps = min(steps, -(-edges // options.paper.batch))
    trained = min(steps * options.paper.batch, edges)
    with ExitStack() as stack:
        workers = {
            side: stack.enter_context(
                ProcessPoolExecutor(
                    1,
                    multiprocessing.get_context("spawn"),
                    initializer=prepare,
                    initargs=(side, products, steps, epochs, width, options),
                )
            )
            for side in SIDES
        }
        turns = [
            {side: _wait(worker, run_training) for side, worker in workers.items()}
            for _ in range(1 + repeats)
        ]
        peaks = {side: _wait(worker, peak_mib) for side, worker in workers.items()}
    seconds = {
        side: statistics.median(value for turn in turns[1:] for value in turn[side]) for side in workers
    }
    return {
        "edges": {"copurchase": edges, "coview": round(products * COVIEWS), "trained": trained},
        "seconds": seconds,
        "edges_per_second": {side: trained / value for side, value in seconds.items()},
        "peak_mib": peaks,
    }


def _wait(worker: ProcessPoolExecutor, work: Callable[[], Result]) -> Result:
    return worker.submit(work).result()


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, nargs="+", default=[65_000, 650_000], help="products")
    parser.add_argument("--steps", type=int, default=10, help="batches of an epoch, at most")
    parser.add_argument("--epochs", type=int, default=3, help="of a training")
    parser.add_argument("--batch", type=int, default=RelatedSettings().paper.batch, help="edges a step")
    parser.add_argument("--width", type=int, default=128, help="length of the content features")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sampler", choices=("dgl", "csr"), default="dgl")
    add_output(parser)
    options = parser.parse_args()
    settings = RelatedSettings.model_validate(
        {"recipe": "paper", "sampler": options.sampler, "paper": {"batch": options.batch}}
    )
    sizes = {
        f"{size:,} products": measure(
            size, options.steps, options.epochs, options.repeats, settings, options.width
        )
        for size in options.size
    }
    rates = {name: figures["edges_per_second"] for name, figures in sizes.items()}
    ratios = [
        Ratio(
            f"edges/s of an epoch, {name}",
            "DGL's tutorial",
            rate["twinvec"] / rate["DGL tutorial"],
            3.0,
            least=True,
        )
        for name, rate in rates.items()
    ]
    finish(options.output, vars(options), ratios, {"sizes": sizes}, ("dgl", "torch", "numpy"))
    each = {f"{side}, {name}": value for name, rate in rates.items() for side, value in rate.items()}
    bars(options.output, "Training", "edges/s", each)


if __name__ == "__main__":
    main()
