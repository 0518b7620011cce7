"""Train the encoder of `text` with former and with present settings: seconds, and the MRR@10 of held-out co-views.

    python benchmarks/text_training.py CATALOGUE --output benchmarks/results/text_training.json

CATALOGUE is the metadata of Amazon Digital Music in the edition of 2014. Its graph is built once; each way then trains
on `--pairs` co-view pairs an epoch, with its validations, as `twinvec train text` does. `--ways` and `--seeds` choose a
part; runs that the output holds already stay, so that they can be measured one at a time. With `--home`, a home that
has the graph already is used.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

import twinvec
from benchmarks.measuring import Ratio, add_output, finish
from pipelines.graph.product_graph import load_graph
from pipelines.text.encoder import load_encoder
from pipelines.text.finetuning import fine_tune
from twinvec.stage import Inputs
from twinvec.tracking import SilentRun

Runs = dict[str, dict[str, dict[str, float]]]
BEFORE, NOW = "before", "now"
WAYS: Mapping[str, Mapping[str, Any]] = {
    BEFORE: {"precision": "float32", "frozen": 0},
    "bfloat16": {"precision": "bfloat16", "frozen": 0},
    "bfloat16, frozen 1": {"precision": "bfloat16", "frozen": 1},
    "bfloat16, frozen 3": {"precision": "bfloat16", "frozen": 3},
    "bfloat16, frozen 4": {"precision": "bfloat16", "frozen": 4},
    NOW: {},
}


def measure(folder: Path, way: Mapping[str, Any], pairs: int, seed: int) -> dict[str, float]:
    """Train once; return the figures of the training and its seconds."""
    text = {"training": {"pairs": pairs, **way}}
    with (
        TemporaryDirectory(dir=folder) as checkpoints,
        twinvec.open(folder, seed=seed, device="cpu", text=text) as home,
    ):
        workspace = home.workspace
        version = workspace.version("graph")
        graph = load_graph(Path(version.path))
        inputs = Inputs(workspace, workspace.snapshot(), {"graph": version}, Path(checkpoints))
        options = workspace.settings.text
        encoder = load_encoder(options.model, options.max_length, torch.device("cpu"))
        started = time.perf_counter()
        figures = fine_tune(encoder, inputs, graph, SilentRun("", ""), lambda _: None, torch.device("cpu"))
        return {"seconds": time.perf_counter() - started, **figures}


def read_runs(path: Path | None) -> Runs:
    """Return the runs that an earlier call measured: way → seed → figures."""
    if path is None or not path.exists():
        return {}
    runs: Runs = json.loads(path.read_text("utf-8"))["runs"]
    return runs


def means(runs: Runs) -> dict[str, dict[str, float]]:
    """Return the mean of each figure of each way, over its seeds."""
    return {
        way: {
            "seeds": len(rows),
            **{
                figure: float(np.mean([row[figure] for row in rows.values()]))
                for figure in next(iter(rows.values()))
            },
        }
        for way, rows in runs.items()
    }


def ratios(figures: Mapping[str, Mapping[str, float]]) -> list[Ratio]:
    """Return the present settings beside the former ones, if both were measured."""
    if not {BEFORE, NOW} <= figures.keys():
        return []
    before, now = figures[BEFORE], figures[NOW]
    mrr = now["validation_mrr_at_10"] / before["validation_mrr_at_10"]
    return [
        Ratio(
            "seconds of text training",
            "the former settings",
            now["seconds"] / before["seconds"],
            0.5,
            least=False,
        ),
        Ratio("MRR@10 of held-out co-views", "the former settings", mrr, 1.0, least=True),
    ]


def main() -> None:
    """Measure what is asked for, and print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("catalogue", type=Path, nargs="?", help="meta_Digital_Music.json.gz")
    parser.add_argument("--home", type=Path, help="home that has the catalogue's graph")
    parser.add_argument("--pairs", type=int, default=1000, help="co-view pairs of an epoch")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--ways", nargs="+", default=[BEFORE, NOW], choices=list(WAYS))
    add_output(parser)
    options = parser.parse_args()
    runs = read_runs(options.output)
    with TemporaryDirectory() as temporary:
        folder = options.home or Path(temporary)
        if options.home is None:
            with twinvec.open(folder) as home:
                home.ingest(options.catalogue, format="amazon-2014")
                home.train("graph")
        for seed in options.seeds:
            for way in options.ways:
                row = measure(folder, WAYS[way], options.pairs, seed)
                runs.setdefault(way, {})[str(seed)] = row
                print(f"{way}, seed {seed}: {row}", file=sys.stderr, flush=True)
    figures = means(runs)
    settings = {"pairs": options.pairs, "threads": torch.get_num_threads(), "cores": os.cpu_count()}
    packages = ("torch", "transformers", "sentence-transformers")
    finish(options.output, settings, ratios(figures), {"means": figures, "runs": runs}, packages)


if __name__ == "__main__":
    main()
