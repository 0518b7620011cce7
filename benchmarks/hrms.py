"""Time of a step of HRMS, mining and loss and gradient, against pytorch-metric-learning's multi-similarity.

    python benchmarks/hrms.py --output benchmarks/results/hrms.json

At one level both mine and weigh the same pairs; with the library, the distance is its own or ours.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
from pytorch_metric_learning.losses import MultiSimilarityLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring import Ratio, add_output, finish, in_turns, medians
from twinvec.nn.losses.hrms import LEVELS, HRMSLoss


def measure(batch: int, width: int, repeats: int, device: str) -> dict[str, float]:
    """Return the median seconds of a step of each contender."""
    torch.manual_seed(0)
    vectors = torch.randn(batch, width, device=device, requires_grad=True)
    product = torch.arange(batch, device=device) // 4
    labels = torch.stack([product, product // 4, product // 32], dim=1)
    runs: dict[str, Callable[[], Any]] = {}
    for name, distance in (("cosine", CosineSimilarity()), ("Euclidean", LpDistance())):
        miner, loss = MultiSimilarityMiner(0.1, distance=distance), MultiSimilarityLoss(distance=distance)
        runs[f"library, {name}"] = partial(_library_step, vectors, product, miner, loss)
    for levels in (1, 3):
        name = f"HRMS, {levels} level{'s' * (levels > 1)}"
        runs[name] = partial(_step, vectors, labels[:, :levels], HRMSLoss(LEVELS[:levels]))
    for run in runs.values():
        run()
    return medians(in_turns(runs, repeats))


def _library_step(vectors: Tensor, labels: Tensor, miner: Any, loss: Any) -> None:
    _step(vectors, labels, lambda each, groups: loss(each, groups, miner(each, groups)))


def _step(vectors: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    vectors.grad = None
    loss(vectors, labels).backward()  # type: ignore[no-untyped-call]
    if vectors.device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure some sizes of batch, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 512, 1024])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--device", default="cpu")
    add_output(parser)
    options = parser.parse_args()
    seconds = {
        str(batch): measure(batch, options.width, options.repeats, options.device) for batch in options.batch
    }
    ratios = [
        Ratio(f"HRMS at one level, {batch} items", name, each[name] / each["HRMS, 1 level"], 1.0, least=True)
        for batch, each in seconds.items()
        for name in ("library, cosine", "library, Euclidean")
    ]
    finish(options.output, vars(options), ratios, {"seconds": seconds}, ("torch", "pytorch-metric-learning"))


if __name__ == "__main__":
    main()
