"""Measure how far an image encoder's neighbours share the style, on the synthetic store, whose styles are known.

    python benchmarks/image_styles.py [PRODUCTS] [EPOCHS]

The first figure is over all products; `unseen` over those that no pair was learned of, among themselves.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import torch

from pipelines.graph.product_graph import load_graph
from pipelines.image.encoder import encode_images, load_encoder
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


def main(products: int, epochs: int, folder: Path) -> None:
    """Train on a store of `products`, print the figures and keep them."""
    generate(folder / "source", products, seed=0)
    workspace = Workspace(load_settings(home=folder / "home", device="cpu"))
    options = workspace.settings.image
    snapshot = ingest(folder / "source", "parquet", workspace.settings, workspace.engine).snapshot
    steps = dag.run(workspace, snapshot, ["graph"])
    (version,) = (step.version for step in steps if step.space == "graph")
    assert version is not None
    batches = list(read_images(snapshot, options, 512))
    names = [name for batch in batches for name in batch.product_ids]
    pixels = np.concatenate([batch.pixels for batch in batches])
    truth = str(folder / "source" / "truth" / "products.parquet")
    rows = duckdb.execute(
        "SELECT product_id, style, shape, pattern, colour FROM read_parquet(?)", [truth]
    ).fetchall()
    known = {row[0]: row[1:] for row in rows}
    labels = {
        name: np.array([known[product][place] for product in names])
        for place, name in enumerate(("style", "shape", "pattern", "colour"))
    }
    pairs = coview_pairs(load_graph(Path(version.path)), names, options.training.min_count)
    unseen = np.setdiff1d(np.arange(len(names)), pairs)
    alone = np.arange(len(names))[:, None].repeat(2, axis=1)
    results: dict[str, object] = {
        "products": products,
        "epochs": epochs,
        "pairs": len(pairs),
        "unseen": len(unseen),
    }
    for scheme, learned in {"pretrained": None, "same-product": alone, "coview-pair": pairs}.items():
        encoder = load_encoder(options.model, options.size, options.dimension, seed=0)
        started = time.perf_counter()
        figures: dict[str, float] = {}
        if learned is not None:
            encoder, figures = distil(
                encoder,
                pixels,
                learned,
                options.training.model_copy(update={"epochs": epochs}),
                folder / scheme,
                0,
                torch.device("cpu"),
                SilentRun("", ""),
                lambda line: print(line, flush=True),
            )
        seconds = time.perf_counter() - started
        vectors = encode_images(encoder, pixels, options.batch)
        results[scheme] = {name: precision(vectors, values) for name, values in labels.items()} | {
            "style_unseen": precision(vectors[unseen], labels["style"][unseen]),
            "seconds": round(seconds, 1),
            **{name: round(value, 4) for name, value in figures.items()},
        }
        print(scheme, json.dumps(results[scheme]), flush=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as temporary:
        main(given[0] if given else 2000, given[1] if len(given) > 1 else 20, Path(temporary))
