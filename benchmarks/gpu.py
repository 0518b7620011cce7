"""Measure on a GPU what Twinvec trains and encodes: graph models, the default recipe, texts and images.

    python benchmarks/gpu.py --against CHECKOUT --output benchmarks/results/gpu.json

Nothing of DGL, DuckDB, Feast, MLflow, pydantic or Qdrant is imported, nor need Twinvec be installed; the parts `text`
and `image` need sentence-transformers, datasets, timm and open-clip. All data are generated, but for titles in a file.

Each part runs in a process of its own.

- `related`: the published models of two hops, in float32 and in bfloat16; with `--against`, also with the code of
  another checkout, in the same call.
- `recipe`: an epoch of the default recipe, for each size in `--sizes`.
- `text`, `image`: encoding and training, beside what the libraries do by themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

# Also where Twinvec is not installed; the code of another checkout comes before that of this one.
sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, os.environ.get("TWINVEC_MEASURED", sys.path[0]))
sys.path.insert(0, str(Path(sys.path[0]) / "platform"))

from benchmarks.measuring import Ratio, add_output, finish
from twinvec.nn.features import Features
from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.losses.margin import MarginObjective
from twinvec.nn.losses.positives import Positives
from twinvec.nn.losses.soft_targets import SoftTargetObjective
from twinvec.nn.models import MERLIN, GraphSAGE, Twinvec
from twinvec.nn.sampling.blocks import Neighbours, double_cover
from twinvec.nn.sampling.csr import CsrSampler
from twinvec.nn.training.loop import Epoch, train

MEASURES_OTHER = "TWINVEC_MEASURED" in os.environ
ROOT = Path(__file__).parent.parent
PARTS = ("related", "recipe", "text", "image")
MODELS = {"merlin": MERLIN, "sage": GraphSAGE}
PRECISIONS = ("float32", "bfloat16")
CONTENT, DIMENSION = 256, 128
FANOUTS = {"copurchase": 20, "coview": 10}
# Defaults of `related.twinvec`.
HIDDEN, CANDIDATES, SOURCES, LEARNING_RATE, AVERAGING = 256, 2048, 1024, 3e-3, 0.97
# Products that a source is near to: what proximity keeps of a product, about.
NEAR = 40


@dataclass(frozen=True)
class Store:
    """A generated catalogue on a device: co-purchases, both relations as double covers, and features."""

    source: torch.Tensor
    target: torch.Tensor
    graph: dict[str, Neighbours]
    features: Features


def popular(shape: tuple[int, ...], products: int, generator: torch.Generator) -> torch.Tensor:
    """Draw products by a power law, as popularity is distributed, int64 of this shape."""
    draw = torch.rand(shape, device=generator.device, generator=generator)
    return (products * draw.pow(3)).long().clamp_max(products - 1)


def generate(products: int, copurchases: int, coviews: int, content: int, device: torch.device) -> Store:
    """Return a store with so many edges of each kind a product."""
    generator = torch.Generator(device).manual_seed(0)

    def edges(degree: int) -> tuple[torch.Tensor, torch.Tensor]:
        source = torch.arange(products, device=device).repeat_interleave(degree)
        target = popular((len(source),), products, generator)
        return source, torch.where(target == source, (target + 1) % products, target)

    copurchase = edges(copurchases)
    graph = {
        "copurchase": double_cover(*copurchase, products),
        "coview": double_cover(*edges(coviews), products),
    }
    return Store(
        *copurchase,
        graph,
        Features(
            torch.randn(products, content, device=device, generator=generator),
            torch.randn(2 * products, DIMENSION, device=device, generator=generator) / DIMENSION**0.5,
        ),
    )


def measured(history: list[Epoch], device: torch.device) -> dict[str, float]:
    """Return the means of some epochs' figures, and the peak of the memory of tensors on a GPU."""
    figures = {
        "edges_per_second": float(np.mean([epoch.edges_per_second for epoch in history])),
        "seconds_an_epoch": float(np.mean([epoch.seconds for epoch in history])),
        "loss": history[-1].loss,
    }
    if device.type == "cuda":
        figures["peak_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return figures


def measure_related(store: Store, name: str, precision: str, options: argparse.Namespace) -> dict[str, float]:
    """Train a published model on sampled neighbourhoods; the first epoch, which warms up, is not counted."""
    features = in_precision(store.features, precision)
    torch.manual_seed(0)
    model: GraphEncoder = MODELS[name](CONTENT, DIMENSION, 2, list(store.graph))
    chosen = torch.randperm(len(store.source))[: options.edges]
    objective = MarginObjective(
        store.source.cpu()[chosen],
        store.target.cpu()[chosen],
        features.products,
        target_offset=features.products,
        negatives=5,
        pool=2_000,
        margin=1.0,
        batch=options.batch,
    )
    history = train(
        model.to(features.device),
        features,
        CsrSampler(store.graph, FANOUTS, hops=2),
        objective,
        epochs=options.epochs + 1,
        learning_rate=1e-3,
        weight_decay=0.0,
        seed=0,
        mixed_precision=precision == "bfloat16",
    )
    return measured(history[1:], features.device)


def in_precision(features: Features, precision: str) -> Features:
    """Return features as the stage `related` keeps them on a GPU; an older checkout has them in float32 only."""
    if precision == "float32" or features.device.type == "cpu" or MEASURES_OTHER:
        return features
    return features.to(features.device, torch.bfloat16)


def measure_recipe(products: int, options: argparse.Namespace, device: torch.device) -> dict[str, float]:
    """Train one epoch of the default recipe, on a graph of the density of the papers' largest."""
    store = generate(products, copurchases=2, coviews=10, content=384, device=device)
    generator = torch.Generator(device).manual_seed(1)
    near = popular((products, NEAR), products, generator)
    own = torch.arange(products, device=device).unsqueeze(1)
    near = torch.where(near == own, (near + 1) % products, near).sort(1).values.int()
    positives = Positives(
        sp.csr_array(
            (
                np.full(near.numel(), 1 / NEAR, np.float32),
                near.flatten().cpu().numpy(),
                np.arange(0, near.numel() + 1, NEAR),
            ),
            shape=(products, products),
        )
    )
    features = in_precision(store.features, "bfloat16")
    torch.manual_seed(0)
    model = Twinvec(384, DIMENSION, HIDDEN, DIMENSION, list(store.graph), factor_dropout=0.1)
    history = train(
        model.to(device),
        features,
        CsrSampler(store.graph, FANOUTS, hops=1),
        SoftTargetObjective(positives, CANDIDATES, min(SOURCES, options.batch)),
        epochs=1,
        learning_rate=LEARNING_RATE,
        weight_decay=0.01,
        seed=0,
        mixed_precision=device.type == "cuda",
        averaging=AVERAGING,
    )
    return measured(history, device)


def run(part: str, options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Measure one part in this process."""
    if part == "related":
        store = generate(options.products, options.copurchases, options.coviews, CONTENT, device)
        rows = {}
        for name in options.models:
            for precision in PRECISIONS:
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                rows[f"{name}, {precision}"] = measure_related(store, name, precision, options)
        return rows
    if part == "recipe":
        return {
            f"{products:,} products": measure_recipe(products, options, device) for products in options.sizes
        }
    from benchmarks.gpu_encoders import measure_images, measure_texts

    return measure_texts(options, device) if part == "text" else measure_images(options, device)


def run_apart(part: str, code: Path) -> dict[str, Any]:
    """Measure one part in a process of its own, with the code of a checkout."""
    started = time.perf_counter()
    finished = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--in-process", part],
        env=os.environ | ({} if code == ROOT else {"TWINVEC_MEASURED": str(code.resolve())}),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    rows: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    print(f"{part} with {code.resolve().name}, {time.perf_counter() - started:.0f} s:", file=sys.stderr)
    for name, row in rows.items():
        print(f"  {name}: {json.dumps(row)}", file=sys.stderr, flush=True)
    return rows


def ratios(figures: dict[str, Any]) -> list[Ratio]:
    """Return the rates beside those of their references."""
    before, now = figures.get("related, before", {}), figures.get("related", {})
    compared = [
        Ratio(
            f"edges a second, {name}", "the other checkout",
            row["edges_per_second"] / before[name]["edges_per_second"], 3.0, least=True,
        )
        for name, row in now.items() if name in before
    ]  # fmt: skip
    for part in ("text", "image"):
        rows = figures.get(part, {})
        for what in ("encoding", "training"):
            if f"{what}, library" in rows:
                ours, library = (rows[f"{what}, {way}"]["per_second"] for way in ("ours", "library"))
                compared.append(
                    Ratio(f"{part}s a second, {what}", "the library alone", ours / library, 1.0, least=True)
                )
    return compared


def main() -> None:
    """Measure the chosen parts, each in a process of its own, and print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["related", "recipe"])
    parser.add_argument("--against", type=Path, help="checkout whose code `related` is measured with, too")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--products", type=int, default=1_000_000, help="products of `related`")
    parser.add_argument("--copurchases", type=int, default=8, help="co-purchase edges a product")
    parser.add_argument("--coviews", type=int, default=10, help="co-view edges a product")
    parser.add_argument("--edges", type=int, default=500_000, help="co-purchase edges trained on an epoch")
    parser.add_argument("--batch", type=int, default=10_000, help="edges a step")
    parser.add_argument("--epochs", type=int, default=2, help="epochs counted, after one that is not")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000], help="products of `recipe`")
    parser.add_argument("--texts", type=int, default=16_384, help="texts to encode")
    parser.add_argument("--titles", type=Path, help="file of titles, one a line; default: generated")
    parser.add_argument("--steps", type=int, default=200, help="steps of training on texts and on images")
    parser.add_argument("--images", type=int, default=8192, help="images to encode")
    parser.add_argument("--in-process", choices=PARTS, help=argparse.SUPPRESS)
    add_output(parser)
    options = parser.parse_args()
    device = torch.device(options.device)
    if options.in_process:
        print(json.dumps(run(options.in_process, options, device)))
        return
    figures: dict[str, Any] = {}
    for part in options.parts:
        if part == "related" and options.against:
            figures["related, before"] = run_apart(part, options.against)
        figures[part] = run_apart(part, ROOT)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    settings = {**vars(options), "device": name, "against": None, "titles": None, "in_process": None}
    finish(options.output, settings, ratios(figures), figures, ("torch", "triton", "transformers", "timm"))


if __name__ == "__main__":
    main()
