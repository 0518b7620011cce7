"""Train the dual-embedding model on a generated graph, with torch alone, and print edges/s and peak memory.

    python benchmarks/gpu.py --products 1000000 --device cuda

Nothing of DGL, DuckDB, Feast, MLflow, pydantic or Qdrant is imported, nor need Twinvec be installed. The graph, its
features and the sampler live on the device.
Two runs in one process, float32 and bfloat16, on the same batches; the ratio is what to quote.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

# Also where Twinvec is not installed.
sys.path.insert(0, str(Path(__file__).parent.parent / "platform"))

from twinvec.nn.features import Features
from twinvec.nn.losses.margin import MarginObjective
from twinvec.nn.models import Twinvec
from twinvec.nn.sampling.blocks import Neighbours, double_cover
from twinvec.nn.sampling.csr import CsrSampler
from twinvec.nn.training.loop import train


@dataclass(frozen=True)
class Result:
    """Figures of one run; edges are those that were sampled and aggregated over."""

    precision: str
    edges_per_second: float
    seconds_an_epoch: float
    peak_memory_mib: float
    loss: float


def generate_edges(
    products: int, degree: int, device: torch.device, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Directed edges whose targets follow a power law, as popularity does, int64 [products × degree] each."""
    source = torch.arange(products, device=device).repeat_interleave(degree)
    draw = torch.rand(len(source), device=device, generator=generator)
    target = (products * draw.pow(3)).long().clamp_max(products - 1)
    return source, torch.where(target == source, (target + 1) % products, target)


def measure(
    precision: str,
    graph: dict[str, Neighbours],
    edges: tuple[torch.Tensor, torch.Tensor],
    features: Features,
    options: argparse.Namespace,
) -> Result:
    """Train for the epochs asked for; the first, which warms up, is not counted."""
    device = features.device
    torch.manual_seed(0)
    model = Twinvec(features.content.shape[1], features.proximity.shape[1], 256, 128, list(graph))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    chosen = torch.randperm(len(edges[0]))[: options.edges]
    history = train(
        model.to(device),
        features,
        CsrSampler(graph, {"copurchase": 20, "coview": 10}, hops=len(model.layers)),
        MarginObjective(
            edges[0].cpu()[chosen],
            edges[1].cpu()[chosen],
            features.products,
            target_offset=features.products,
            negatives=5,
            pool=2_000,
            margin=1.0,
            batch=options.batch,
        ),
        epochs=options.epochs + 1,
        learning_rate=1e-3,
        weight_decay=0.0,
        seed=0,
        mixed_precision=precision == "bfloat16",
    )[1:]
    peak = (
        torch.cuda.max_memory_allocated() / 2**20
        if device.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    )
    return Result(
        precision,
        edges_per_second=sum(epoch.edges_per_second for epoch in history) / len(history),
        seconds_an_epoch=sum(epoch.seconds for epoch in history) / len(history),
        peak_memory_mib=peak,
        loss=history[-1].loss,
    )


def main() -> None:
    """Measure and print, as a table and as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--products", type=int, default=1_000_000)
    parser.add_argument("--copurchases", type=int, default=8, help="co-purchase edges a product")
    parser.add_argument("--coviews", type=int, default=10, help="co-view edges a product")
    parser.add_argument("--edges", type=int, default=500_000, help="co-purchase edges trained on an epoch")
    parser.add_argument("--batch", type=int, default=10_000, help="edges a step")
    parser.add_argument("--epochs", type=int, default=2, help="epochs counted, after one that is not")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, help="file for the JSON result")
    options = parser.parse_args()
    device = torch.device(options.device)
    generator = torch.Generator(device).manual_seed(0)
    copurchase = generate_edges(options.products, options.copurchases, device, generator)
    coview = generate_edges(options.products, options.coviews, device, generator)
    graph = {
        "copurchase": double_cover(*copurchase, options.products),
        "coview": double_cover(*coview, options.products),
    }
    features = Features(
        torch.randn(options.products, 256, device=device, generator=generator),
        torch.randn(2 * options.products, 128, device=device, generator=generator),
    )
    results = [measure(name, graph, copurchase, features, options) for name in ("float32", "bfloat16")]
    print(f"{'precision':10} {'edges/s':>14} {'s/epoch':>9} {'peak MiB':>10} {'loss':>8}")
    for row in results:
        print(
            f"{row.precision:10} {row.edges_per_second:14,.0f} {row.seconds_an_epoch:9.2f} "
            f"{row.peak_memory_mib:10,.0f} {row.loss:8.4f}"
        )
    ratio = results[1].edges_per_second / results[0].edges_per_second
    print(f"bfloat16 / float32: {ratio:.2f}")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    record = {
        "device": name,
        "settings": {key: value for key, value in vars(options).items() if key != "output"},
        "runs": [asdict(row) for row in results],
        "ratio": ratio,
    }
    if options.output:
        options.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
