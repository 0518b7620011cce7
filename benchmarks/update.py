"""Measure how long `twinvec update` takes beside embedding everything by the same models, and beside training.

    python benchmarks/update.py --output benchmarks/results/update.json

Trains a small release of a synthetic store, changes a share of its products (half of them get another title, a quarter
is delisted and a quarter is new), and embeds the changed store both ways. What is timed is from the later graph to the
versions, in Feast, MLflow and the registry; what is the same for both is given apart.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.update.live import Live, find_live
from pipelines.update.pipeline import embed, remake, update
from twinvec import columns, dag, releases
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.synthetic.store import generate
from twinvec.features.reading import read_vectors
from twinvec.plugins import load_reference
from twinvec.releases.lookup import checked_name
from twinvec.settings import Settings
from twinvec.spaces import find_space, spaces
from twinvec.workspace import Workspace

SPACES = ("text", "image", "aligned", "related")


def change(store: Path, share: float, seed: int) -> None:
    """Change a share of the products in place."""
    rows = pq.read_table(store / "products.parquet").to_pylist()
    chosen = np.random.default_rng(seed).permutation(len(rows))[: max(4, round(share * len(rows)))]
    quarter = len(chosen) // 4
    for row in chosen[: 2 * quarter]:
        rows[row]["title"] = [("en", f"Renamed {row} of the season")]
    delisted = set(chosen[2 * quarter : 3 * quarter].tolist())
    new = [{**rows[row], "product_id": f"new-{row}"} for row in chosen[3 * quarter :]]
    kept = [row for place, row in enumerate(rows) if place not in delisted]
    pq.write_table(pa.Table.from_pylist(kept + new, columns.PRODUCTS), store / "products.parquet")


def load_models(workspace: Workspace, live: Live) -> None:
    """Load the models that `embed` carries the release on with."""
    for space in spaces():
        if space.name in live.versions and space.update is not None and space.update.how == "carry":
            load_reference(space.update.function)(workspace, live, False)


def main() -> None:
    """Train, change, update both ways, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--products", type=int, default=2_000)
    parser.add_argument("--share", type=float, default=0.01, help="of the products that change")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="file for the JSON result")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options.products, options.share, options.seed)
    text = json.dumps(result, indent=2) + "\n"
    print(text)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text)


def measure(folder: Path, products: int, share: float, seed: int) -> dict[str, Any]:
    """Everything, in a folder of its own."""
    groups: dict[str, Any] = {
        "text": {"scheme": "pretrained"},
        "image": {"scheme": "pretrained"},
        "aligned": {"epochs": 3},
        "related": {"twinvec": {"epochs": 5}},
    }
    workspace = Workspace(Settings(home=folder / "home", device="cpu", **groups))
    generate(folder / "store", products, seed, images=True)
    started = time.perf_counter()
    before = ingest(folder / "store", "parquet", workspace.settings, workspace.engine).snapshot
    steps = dag.run(workspace, before)
    training = time.perf_counter() - started
    related = next(step.version for step in steps if step.space == "related" and step.version)
    releases.promote(workspace, releases.publish(workspace, related))
    change(folder / "store", share, seed)
    after = ingest(folder / "store", "parquet", workspace.settings, workspace.engine).snapshot
    live = find_live(workspace, checked_name(workspace, None))
    load_models(workspace, live)  # once before, so that both find the files in memory
    seconds, made = {}, {}
    started = time.perf_counter()
    load_models(workspace, live)
    loading = time.perf_counter() - started
    started = time.perf_counter()
    remake(workspace, find_space("graph"), after, live.versions, print)
    graph = time.perf_counter() - started
    for name, full in (("update", False), ("full", True)):
        started = time.perf_counter()
        made[name] = embed(workspace, live, after, full, print)
        seconds[name] = time.perf_counter() - started - loading
    with after.connect() as connection:
        keys = [key for (key,) in connection.execute("SELECT product_id FROM products").fetchall()]
    differences = {}
    for space in SPACES:
        part, whole = (read_vectors(workspace.features, versions[space], keys) for versions in made.values())
        pairs = [(part.fields[name], whole.fields[name]) for name in part.fields]
        differences[space] = max(float(np.abs(some - others).max()) for some, others in pairs)
    started = time.perf_counter()
    report = update(workspace, after)
    going_live = time.perf_counter() - started
    workspace.index.close()
    return {
        "products": products,
        "share": share,
        "seed": seed,
        "changes": asdict(report.changes),
        "encoded_texts": report.encoded_texts,
        "encoded_images": report.encoded_images,
        "aligned": report.aligned,
        "related": report.affected,
        "seconds": {
            "training": training,
            "loading the models": loading,
            "building the graph": graph,
            "update": seconds["update"],
            "everything": seconds["full"],
            "publishing and going live": going_live,
        },
        "largest_difference": differences,
        "staleness": report.record()["staleness"],
    }


if __name__ == "__main__":
    main()
