"""Measure how far an image encoder's neighbours share the style, on the synthetic store, whose styles are known.

    python benchmarks/image_styles.py --products 2000 --size 128 --scheme pretrained
    python benchmarks/image_styles.py --products 2000 --model vit_small_untrained --size 32

The first figure is over all products; `unseen` over those that no pair was learned of, among themselves. Results of
other models and sizes stay in the file.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import torch

from pipelines.graph.product_graph import load_graph
from pipelines.image.encoder import INSTALLED, encode_images, load_encoder
from pipelines.image.pairs import coview_pairs
from pipelines.image.reading import read_images
from pipelines.image.training import distil
from twinvec import dag
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.synthetic import generate
from twinvec.settings import load_settings
from twinvec.tracking import SilentRun
from twinvec.workspace import Workspace

RESULTS = Path(__file__).parent / "results" / "image_styles.json"
NEAREST = 5


def precision(vectors: npt.NDArray[np.float32], labels: npt.NDArray[np.generic]) -> float:
    """Share of the nearest products that have the same label."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -2)
    nearest = np.argpartition(-similarity, NEAREST, axis=1)[:, :NEAREST]
    return round(float((labels[nearest] == labels[:, None]).mean()), 3)


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, dict[str, float]]:
    """Train and judge by each scheme on a store; return the figures of each."""
    generate(folder / "source", arguments.products, seed=0)
    image = {"model": arguments.model, "size": arguments.size, "training": {"epochs": arguments.epochs}}
    workspace = Workspace(load_settings(home=folder / "home", device="cpu", image=image))
    options = workspace.settings.image
    snapshot = ingest(folder / "source", "parquet", workspace.settings, workspace.engine).snapshot
    steps = dag.run(workspace, snapshot, ["graph"])
    (version,) = (step.version for step in steps if step.space == "graph")
    assert version is not None
    batches = list(read_images(snapshot, options, 512))
    names = [name for batch in batches for name in batch.product_ids]
    pixels = np.concatenate([batch.pixels for batch in batches])
    labels = read_labels(folder / "source" / "truth" / "products.parquet", names)
    pairs = coview_pairs(load_graph(Path(version.path)), names, options.training.min_count)
    unseen = np.setdiff1d(np.arange(len(names)), pairs)
    alone = np.arange(len(names))[:, None].repeat(2, axis=1)
    learned = {"pretrained": None, "same-product": alone, "coview-pair": pairs}
    results: dict[str, dict[str, float]] = {}
    for scheme in arguments.scheme:
        encoder = load_encoder(options.model, options.size, options.dimension, seed=0)
        started = time.perf_counter()
        figures: dict[str, float] = {}
        if (chosen := learned[scheme]) is not None:
            encoder, figures = distil(
                encoder,
                pixels,
                chosen,
                options.training,
                folder / scheme,
                0,
                torch.device("cpu"),
                SilentRun("", ""),
                lambda line: print(line, flush=True),
            )
        trained = time.perf_counter()
        vectors = encode_images(encoder, pixels, options.batch)
        results[scheme] = {name: precision(vectors, values) for name, values in labels.items()} | {
            "style_unseen": precision(vectors[unseen], labels["style"][unseen]),
            "training_seconds": round(trained - started, 1),
            "encoding_images_per_second": round(len(names) / (time.perf_counter() - trained), 1),
            **{name: round(value, 4) for name, value in figures.items()},
        }
        print(scheme, json.dumps(results[scheme]), flush=True)
    return results


def read_labels(truth: Path, names: Sequence[str]) -> dict[str, npt.NDArray[np.generic]]:
    """Return what is true of each product's image, kind of label → label of each."""
    kinds = ("style", "shape", "pattern", "colour")
    rows = duckdb.execute(
        f"SELECT product_id, {', '.join(kinds)} FROM read_parquet(?)", [str(truth)]
    ).fetchall()
    known = {row[0]: row[1:] for row in rows}
    return {kind: np.array([known[name][place] for name in names]) for place, kind in enumerate(kinds)}


def main() -> None:
    """Measure one model, print the figures and keep them beside those of other models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--products", type=int, default=2_000)
    parser.add_argument("--model", default=INSTALLED)
    parser.add_argument("--size", type=int, default=128, help="side of an image, in pixels")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--scheme", nargs="+", default=["pretrained", "same-product", "coview-pair"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(arguments, Path(folder))
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    row = kept.setdefault(f"{arguments.model}, {arguments.size} pixels", {})
    for scheme, figures in measured.items():
        row[scheme] = {"products": arguments.products, "epochs": arguments.epochs, **figures}
    RESULTS.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
