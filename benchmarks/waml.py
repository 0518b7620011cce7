"""Seconds an epoch of WAML, LightGCN with content and GAT, on one synthetic graph of sellers, in one run.

    python benchmarks/waml.py --products 50000 --output benchmarks/results/waml.json

All are trained by the same loop on the same batches with the same loss, over vectors of one length. LightGCN and GAT
are as in WAML's Table 3: a vector to train for each node, beside content through a small feed-forward network; they
look at fewer hops than WAML has layers, of which some neighbours are sampled. Both are timed without the vectors, too.
Their layers are those of `twinvec.nn.models`. Steps are timed in turns, model by model, since the machine may
be busy; an epoch is as many of them as it takes to see every offer once. Contents are random: only time is measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.graph.product_graph import Split
from pipelines.related.data import EITHER
from pipelines.sellers.fitting import make_objective, make_start
from pipelines.sellers.graph import SellerGraph
from pipelines.sellers.pipeline import read_graph
from registry.database import migrate, open_engine
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.synthetic import generate
from twinvec.nn.graph_encoder import GraphEncoder, NodeFeatures
from twinvec.nn.models.gat import GATLayer
from twinvec.nn.models.lightgcn import Propagation
from twinvec.nn.models.waml import FeedForward, FeedForwardEncoder, LayerFeatures, NoNeighbours, layers
from twinvec.nn.sampling.blocks import Hop, Sampler
from twinvec.nn.sampling.csr import CsrSampler
from twinvec.nn.training.loop import train
from twinvec.settings import SellerSettings, Settings

CONTENT = 384
HEADS = 4


@dataclass(frozen=True)
class Row:
    """One line of the table; seconds are those of this process on all its cores."""

    model: str
    parameters: int
    once_seconds: float
    step_seconds: float
    epoch_seconds: float
    epoch_cpu_seconds: float
    times_waml: float


class Trainable(GraphEncoder):
    """A vector for each node, and content through a small network: what LightGCN and GAT start from here.

    With 0 nodes it is the content alone.
    """

    def __init__(self, nodes: int, dimension: int) -> None:
        super().__init__()
        self.of_node = nn.Embedding(nodes, dimension)
        nn.init.normal_(self.of_node.weight, std=dimension**-0.5)
        self.of_content = nn.Sequential(
            nn.Linear(CONTENT, dimension), nn.GELU(), nn.Linear(dimension, dimension)
        )

    def start(self, node: Tensor, content: Tensor) -> Tensor:
        """Vectors of layer 0, [nodes, d]."""
        vectors: Tensor = self.of_content(content)
        return vectors + self.of_node(node) if self.of_node.num_embeddings else vectors


class LightGcn(Trainable):
    """LightGCN: the mean of all layers, of which none is trained."""

    def __init__(self, nodes: int, dimension: int, hops: int, degrees: Tensor) -> None:
        super().__init__(nodes, dimension)
        self.layers = nn.ModuleList(Propagation() for _ in range(hops))
        self.roots = degrees.clamp_min(1).sqrt().unsqueeze(1)

    def start(self, node: Tensor, content: Tensor) -> Tensor:
        """Rows of layer 0, as `Propagation` has them."""
        vectors, roots = super().start(node, content), self.roots[node]
        return torch.cat([vectors / roots, vectors, roots], dim=1)

    def step(self, index: int, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Rows above, or the vectors, of length one."""
        above = super().step(index, own, below, hop)
        last = index + 1 == len(self.layers)
        return functional.normalize(above[:, above.shape[1] // 2 : -1]) if last else above


class Gat(Trainable):
    """Graph attention."""

    def __init__(self, nodes: int, dimension: int, hops: int) -> None:
        super().__init__(nodes, dimension)
        each = dimension // HEADS
        self.layers = nn.ModuleList(
            GATLayer(dimension, dimension if last else each, HEADS, last, [EITHER])
            for last in [False] * (hops - 1) + [True]
        )

    def step(self, index: int, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Vectors above; those of the last layer have length one."""
        above = super().step(index, own, below, hop)
        return functional.normalize(above) if index + 1 == len(self.layers) else functional.elu(above)


@dataclass(frozen=True)
class NodesAndContent:
    """Features of the trainable models: which node it is, and its content [nodes, CONTENT]."""

    content: Tensor

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.content)

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.content.device

    def of(self, nodes: Tensor) -> tuple[Tensor, ...]:
        """The nodes themselves, and their content."""
        return nodes, self.content[nodes]


def make_graph(products: int, folder: Path) -> SellerGraph:
    """The reduced graph of a synthetic store."""
    generate(folder / "store", products, images=False, sellers=True)
    settings = Settings(home=folder / "home")
    engine = open_engine(settings.registry_url(), settings.home)
    migrate(engine)
    report = ingest(folder / "store", "parquet", settings, engine)
    engine.dispose()
    return read_graph(report.snapshot, settings)[1]


def measure(
    graph: SellerGraph, options: SellerSettings, hops: int, fanout: int, steps: int, rounds: int
) -> list[Row]:
    """Time `rounds` times `steps` steps of each model, in turns."""
    generator = torch.Generator().manual_seed(0)
    content = torch.zeros(graph.nodes, CONTENT)
    products = slice(graph.sellers, graph.sellers + graph.products)
    content[products] = functional.normalize(torch.randn(graph.products, CONTENT, generator=generator))
    neighbours = graph.neighbours(Split.TRAIN)
    started = time.perf_counter()
    start = make_start(graph, content[products], options, 0)
    *_, below = layers(start, neighbours, options.alphas)
    once = time.perf_counter() - started
    sampler = CsrSampler({EITHER: neighbours}, {EITHER: fanout}, hops)
    features = NodesAndContent(content)
    models: dict[str, tuple[GraphEncoder, NodeFeatures, Sampler]] = {
        "waml": (
            FeedForwardEncoder(FeedForward(options.dimension, options.blocks, options.beta)),
            LayerFeatures(below),
            NoNeighbours(),
        ),
    }
    for name, nodes in (("", graph.nodes), (", no vector a node", 0)):
        gcn = LightGcn(nodes, options.dimension, hops, neighbours.degrees())
        models[f"lightgcn + content{name}"] = (gcn, features, sampler)
        models[f"gat{name}"] = (Gat(nodes, options.dimension, hops), features, sampler)
    wall: dict[str, list[float]] = {name: [] for name in models}
    processor: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(rounds + 1):
        for name, (model, has, samples) in models.items():
            seconds, cpu = _timed(lambda m=model, h=has, s=samples: _train(graph, options, m, h, s, steps))  # type: ignore[misc]
            if turn:  # the first is for what is imported and allocated once
                wall[name].append(seconds / steps)
                processor[name].append(cpu / steps)
            print(f"{name}: {seconds / steps:.2f} s a step, {cpu / steps:.2f} s of processor", flush=True)
    in_epoch = -(-len(graph.offers_of(Split.TRAIN)[0]) // options.batch)
    ours = statistics.median(processor["waml"])
    return [
        Row(
            model=name,
            parameters=sum(each.numel() for each in models[name][0].parameters()),
            once_seconds=once if name == "waml" else 0.0,
            step_seconds=statistics.median(wall[name]),
            epoch_seconds=statistics.median(wall[name]) * in_epoch,
            epoch_cpu_seconds=statistics.median(processor[name]) * in_epoch,
            times_waml=statistics.median(processor[name]) / ours,
        )
        for name in models
    ]


def _train(
    graph: SellerGraph,
    options: SellerSettings,
    model: GraphEncoder,
    features: NodeFeatures,
    sampler: Sampler,
    steps: int,
) -> None:
    objective = make_objective(graph, options)
    chosen = np.random.default_rng(0).permutation(len(objective.pairs[0]))[: steps * options.batch]
    some = replace(objective, pairs=(objective.pairs[0][chosen], objective.pairs[1][chosen]))
    train(model, features, sampler, some, epochs=1, learning_rate=1e-3, weight_decay=0.01, seed=0)


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Make the graph, time the models, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--products", type=int, default=50_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--hops", type=int, default=2)
    parser.add_argument("--fanout", type=int, default=10)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        graph = make_graph(given.products, Path(folder))
    offers = len(graph.offers_of(Split.TRAIN)[0])
    print(f"{graph.nodes:,} nodes, {offers + len(graph.others[0]):,} edges, {offers:,} offers to train on")
    options = SellerSettings(dimension=given.dimension)
    rows = measure(graph, options, given.hops, given.fanout, given.steps, given.rounds)
    for row in rows:
        print(
            f"| {row.model} | {row.parameters:,} | {row.once_seconds:.1f} | {row.epoch_seconds:.0f} | "
            f"{row.epoch_cpu_seconds:.0f} | {row.times_waml:.1f} |"
        )
    if given.output is not None:
        figures = {
            "settings": vars(given) | {"output": str(given.output)},
            "nodes": graph.nodes,
            "offers": offers,
        }
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(
            json.dumps(figures | {"rows": [asdict(row) for row in rows]}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
