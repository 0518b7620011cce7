"""MRR@10, size and query time of `related` by the length of its vectors and by their quantisation.

    twinvec ingest meta_Digital_Music.json.gz --format amazon-2014
    export TWINVEC_TEXT__SCHEME=pretrained
    python benchmarks/dimension.py --scratch FOLDER --output benchmarks/results/dimension.json

Reads the latest snapshot of the home (TWINVEC_HOME); versions of `graph` and `aligned` that are missing are made. The
model is trained on the training edges for each dimension, and its vectors are kept in the scratch folder, where a
second call finds them. They are published to Qdrant Edge once for each quantisation, as `twinvec publish` does, with a
graph whatever their number.

MRR@10 is that of the lists that the index answers with, at the ef it was verified with: of test edges, without the
source and its known co-purchases. Recall@10 is the verification's, against exact search. Queries are timed one by one,
all quantisations in turns. The bytes of the index are those of files, of both vectors, codes and graph; the bytes in
memory are of what a search compares: the codes, or else the target vectors.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring import add_output, finish, lines
from pipelines.comparisons.data import ComparisonData, read_data
from pipelines.graph.product_graph import Edges, ProductGraph, Split
from pipelines.related.pipeline import fit_on_training_edges, held_out_metrics
from twinvec.metrics.ranking import ranking_metrics
from twinvec.nn.device import resolve_device
from twinvec.settings import Settings, load_settings
from twinvec.settings.stores import QdrantSettings
from twinvec.vectors import PointBatch, make_points, publish, shard_queries
from twinvec.vectors.edge import EdgeIndex
from twinvec.workspace import Workspace

COLLECTION, K = "related_products__v1", 10
QUANTIZATIONS = ("none", "scalar", "product", "binary")
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    dimension: int
    quantization: str
    exact_mrr_at_10: float
    mrr_at_10: float
    recall_at_10: float
    ef: int
    memory_bytes: int
    index_bytes: int
    build_seconds: float
    query_p50_ms: float = 0.0


def train(
    data: ComparisonData, dimension: int, settings: Settings, scratch: Path
) -> tuple[Floats, Floats, float]:
    """Return source and target vectors and their MRR@10 among all products; those in the scratch folder are read."""
    file = scratch / f"{dimension}.npz"
    if not file.exists():
        options = settings.related.model_copy(update={"dimension": dimension})
        device = resolve_device(settings.device)
        started = time.perf_counter()
        fitted = fit_on_training_edges(data.graph, data.features, options, device, settings.seed)
        seconds = time.perf_counter() - started
        print(f"dimension {dimension}: trained in {seconds:.0f} s", file=sys.stderr, flush=True)
        metrics = held_out_metrics(fitted.source, fitted.target, data.graph)
        source, target = (side.float().cpu().numpy() for side in (fitted.source, fitted.target))
        np.savez(file, source=source, target=target, mrr=metrics["mrr_at_10"])
    saved = np.load(file)
    return saved["source"], saved["target"], float(saved["mrr"])


def batches(ids: list[str], source: Floats, target: Floats, rows: int = 1000) -> Iterator[PointBatch]:
    """Yield all products, with no more than their ids and vectors."""
    for start in range(0, len(ids), rows):
        part = slice(start, start + rows)
        count = len(ids[part])
        yield make_points(
            product_id=ids[part],
            marketplace=["us"] * count,
            title=[""] * count,
            category=[["All"]] * count,
            price=[None] * count,
            release=COLLECTION,
            source=source[part],
            target=target[part],
        )


def listed_mrr(index: EdgeIndex, graph: ProductGraph, edges: Edges, source: Floats, ef: int) -> float:
    """Return the MRR@10 of edges in the lists of the index, without each source and its known co-purchases."""
    ids: list[str] = graph.product_ids.to_pylist()
    rows = {product: row for row, product in enumerate(ids)}
    known = graph.copurchase.matrix(graph.products).tolil().rows
    ranks = []
    for start, end in zip(edges.source.tolist(), edges.target.tolist(), strict=True):
        left_out = {start, *known[start]} - {end}
        (hits,) = index.search(COLLECTION, source[start : start + 1], K + len(left_out), ef=ef)
        listed = [row for row in (rows[hit.product_id] for hit in hits) if row not in left_out][:K]
        ranks.append(1 + listed.index(end) if end in listed else K + 1)
    return ranking_metrics(np.array(ranks, np.float64)).mrr_at_10


def size(folder: Path) -> int:
    """Return the bytes on disk of the vectors, codes and graphs of a shard; Edge's files have holes."""
    files = (file for file in folder.glob("segments/*/vector_*/**/*") if file.is_file())
    return sum(512 * file.stat().st_blocks for file in files)


def measure(
    graph: ProductGraph,
    edges: Edges,
    vectors: tuple[Floats, Floats],
    exact: float,
    queries: int,
    folder: Path,
) -> list[Row]:
    """Publish with every quantisation, then ask all of them the same."""
    ids: list[str] = graph.product_ids.to_pylist()
    source, dimension = vectors[0], vectors[0].shape[1]
    indexes, rows = {}, {}
    for kind in QUANTIZATIONS:
        index = indexes[kind] = EdgeIndex(folder / kind)
        settings = QdrantSettings(quantization=kind, full_scan_threshold=1, min_recall=0)
        found = publish(index, COLLECTION, batches(ids, *vectors), len(ids), dimension, {}, settings)
        rows[kind] = Row(
            dimension=dimension,
            quantization=kind,
            exact_mrr_at_10=exact,
            mrr_at_10=listed_mrr(index, graph, edges, source, found.ef),
            recall_at_10=found.recall_at_10,
            ef=found.ef,
            memory_bytes=found.code_bytes,
            index_bytes=size(folder / kind / COLLECTION / "shard"),
            build_seconds=found.index_seconds,
        )
        print(rows[kind], file=sys.stderr, flush=True)
    milliseconds: dict[str, list[float]] = {kind: [] for kind in QUANTIZATIONS}
    random = np.random.default_rng(0)
    for product in random.integers(len(ids), size=queries).tolist():
        for kind in random.permutation(QUANTIZATIONS).tolist():
            started = time.perf_counter()
            indexes[kind].search(COLLECTION, source[product : product + 1], K, ef=rows[kind].ef)
            milliseconds[kind].append(1000 * (time.perf_counter() - started))
    for index in indexes.values():
        index.close()
    return [
        Row(**asdict(row) | {"query_p50_ms": float(np.median(milliseconds[kind]))})
        for kind, row in rows.items()
    ]


def chart(output: Path | None, rows: list[Row], products: int) -> None:
    """Draw MRR@10 over the bytes a product that a search compares, a line for each quantisation."""
    series: Mapping[str, Any] = {
        kind: tuple(
            zip(
                *[(row.memory_bytes / products, row.mrr_at_10) for row in rows if row.quantization == kind],
                strict=True,
            )
        )
        for kind in QUANTIZATIONS
    }
    title = f"Dimensions {', '.join(str(each) for each in sorted({row.dimension for row in rows}))}, left to right"
    lines(output, title, "bytes a product in memory", "MRR@10", series, y_scale="linear")


def main() -> None:
    """Train, publish, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument(
        "--scratch", type=Path, required=True, help="folder that keeps the vectors of each dimension"
    )
    parser.add_argument(
        "--edges", type=int, default=20_000, help="most test edges that are looked for in the lists"
    )
    parser.add_argument("--queries", type=int, default=2_000, help="queries that are timed")
    parser.add_argument("--oversampling", type=float, help="in place of the one that searches have")
    add_output(parser)
    options = parser.parse_args()
    if options.oversampling:
        vars(shard_queries)["OVERSAMPLING"] = options.oversampling
    options.scratch.mkdir(parents=True, exist_ok=True)
    settings = load_settings()
    workspace = Workspace(settings)
    data = read_data(workspace, workspace.snapshot(), print)
    edges = data.graph.edges(Split.TEST).evenly(options.edges)
    rows = []
    for dimension in options.dimensions:
        source, target, exact = train(data, dimension, settings, options.scratch)
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(data.graph, edges, (source, target), exact, options.queries, Path(folder))
    products = data.graph.products
    figures = {"products": products, "test_edges": len(edges), "rows": [asdict(row) for row in rows]}
    settings_of_run = {name: value for name, value in vars(options).items() if name != "scratch"}
    finish(options.output, settings_of_run, [], figures, ("qdrant-edge-py", "torch", "numpy"))
    chart(options.output, rows, products)


if __name__ == "__main__":
    main()
