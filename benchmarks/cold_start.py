"""Measure answers for products that are not in the catalogue: ways to a source vector, and plain baselines.

    TWINVEC_HOME=… python benchmarks/cold_start.py --scratch FOLDER --output benchmarks/results/cold_start.json

Reads the latest snapshot and `graph` version of the home (`twinvec train graph` makes it). A tenth of the products
that others are bought after, 500 at most, is taken out of the catalogue with all its pairs; the rest is ingested
into a home of its own in the scratch folder and goes the whole road. No model, vector or index has then seen the
products that were taken out, and their co-purchase edges are ranked for them among all products that are left. With
`TWINVEC_RANKING__COLD=on`, the release ranks what it finds even where validation edges speak against it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import mlflow.pytorch
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from PIL import Image

from pipelines.cold_start.description import SEPARATOR
from pipelines.cold_start.encoders import Encoders, find_encoders
from pipelines.cold_start.service import ColdStart
from pipelines.graph.product_graph import ProductGraph, load_graph
from pipelines.image.reading import read_images
from pipelines.ranking.cold import CANDIDATES, NEIGHBOURS, weigh
from pipelines.ranking.cold_learning import interval
from pipelines.related.pipeline import FACTORS
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.snapshot import Snapshot, quoted
from twinvec.features.reading import read_vectors
from twinvec.metrics.ranking import ranking_metrics
from twinvec.nn.sampling.blocks import double_cover
from twinvec.serving.related import NewProduct, live_collection
from twinvec.settings import Settings, load_settings
from twinvec.workspace import Workspace

SHARE, MOST = 0.1, 500
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
CategoryPath = tuple[str, ...]


@dataclass(frozen=True)
class Catalogue:
    """The reduced catalogue, in the order of its graph's n products.

    Attributes:
        graph: Graph of the products that are left.
        text, aligned, source, target: Vectors, float32 [n, …].
        factors: Factors of the double cover's nodes, float32 [2n, p].
    """

    graph: ProductGraph
    text: Floats
    aligned: Floats
    source: Floats
    target: Floats
    factors: Floats


@dataclass(frozen=True)
class New:
    """The m products that were taken out, as the release encodes them.

    Attributes:
        text, aligned: Vectors, float32 [m, …]; the text's is zero of a product without one.
        edges: Rows of a product and of its true target in the catalogue, int64 [edges, 2].
    """

    text: Floats
    aligned: Floats
    edges: Ints


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: Way of ranking.
        mrr_at_10, hits_at_1, hits_at_10: Figures.
        over_vectors: 95% intervals, by products, of the differences of MRR@10 and Hits@10 to the order of the vectors.
    """

    name: str
    mrr_at_10: float
    hits_at_1: float
    hits_at_10: float
    over_vectors: dict[str, tuple[float, float]] | None = None


def choose(graph: ProductGraph, seed: int) -> list[str]:
    """Ids of products that have out-edges, to be taken out."""
    sources = np.unique(graph.copurchase.source)
    count = min(MOST, int(SHARE * len(sources)))
    chosen = np.random.default_rng(seed).choice(sources, count, replace=False)
    ids: list[str] = graph.product_ids.take(pa.array(np.sort(chosen))).to_pylist()
    return ids


def write_without(snapshot: Snapshot, left_out: list[str], folder: Path) -> None:
    """Write the snapshot's tables, without these products and all that names them, as a source of its own."""
    folder.mkdir(parents=True)
    (folder / "catalogue.json").write_text(json.dumps({"copurchase_directed": snapshot.directed}))
    with snapshot.connect() as connection:
        connection.register("left_out", pa.table({"product_id": left_out}))
        for name in snapshot.tables:
            ends = ("source", "target") if name in ("copurchase", "coview") else ("product_id",)
            kept = " AND ".join(f"{end} NOT IN (SELECT product_id FROM left_out)" for end in ends)
            connection.execute(f"COPY (FROM {name} WHERE {kept}) TO {quoted(folder / f'{name}.parquet')}")
    if snapshot.image_root is not None and "://" not in snapshot.image_root:
        for entry in Path(snapshot.image_root).iterdir():
            if entry.suffix not in (".parquet", ".json"):
                (folder / entry.name).symlink_to(entry)


def make_release(snapshot: Snapshot, left_out: list[str], scratch: Path, settings: Settings) -> Workspace:
    """A home in `scratch` where a release of the reduced catalogue is live; one that is there is taken as it is."""
    from pipelines.command.progress import shown
    from twinvec.releases.refresh import refresh

    reduced = Workspace(settings.model_copy(update={"home": scratch / "home"}))
    if not (scratch / "source").exists():
        write_without(snapshot, left_out, scratch / "source")
    found = ingest(scratch / "source", "parquet", reduced.settings, reduced.engine).snapshot
    with shown() as progress:
        refresh(reduced, found, False, progress, progress.count)
    return reduced


def describe(
    snapshot: Snapshot, left_out: list[str], settings: Settings
) -> tuple[list[NewProduct], list[CategoryPath]]:
    """Return the products that were taken out, sorted, with what is known of them, and their category paths."""
    images = {}
    for batch in read_images(snapshot, settings.image, 512):
        for product, pixels in zip(batch.product_ids, batch.pixels, strict=True):
            if product in left_out:
                file = io.BytesIO()
                Image.fromarray(pixels.transpose(1, 2, 0)).save(file, "PNG")
                images[product] = file.getvalue()
    with snapshot.connect() as connection:
        connection.register("left_out", pa.table({"product_id": left_out}))
        rows = connection.execute(
            "SELECT product_id, coalesce(title['en'], map_values(title)[1]), category "
            "FROM products JOIN left_out USING (product_id) ORDER BY product_id"
        ).fetchall()
    products = [
        NewProduct(title, SEPARATOR.join(path) if len(path) > 1 else None, images.get(product_id))
        for product_id, title, path in rows
    ]
    return products, [tuple(path) for *_, path in rows]


def read_catalogue(workspace: Workspace, encoders: Encoders) -> Catalogue:
    """Read the vectors of the release's versions through the feature store."""
    versions = encoders.versions
    graph = load_graph(Path(versions["graph"].path))
    ids: list[str] = graph.product_ids.to_pylist()

    def read(space: str) -> list[Floats]:
        return list(read_vectors(workspace.features, versions[space], ids).fields.values())

    (text,), (aligned,), (source, target) = read("text"), read("aligned"), read("related")
    factors = np.load(Path(versions["related"].path) / FACTORS)
    return Catalogue(graph, text, aligned, source, target, factors)


def encode(
    encoders: Encoders, products: list[NewProduct], paths: list[CategoryPath]
) -> tuple[Floats, Floats]:
    """Text and aligned vectors of new products, float32 [m, t] and [m, a]."""
    models = encoders.models
    text_encoder = models.content["text"]
    texts, aligned = [], []
    for product, path in zip(products, paths, strict=True):
        vector = text_encoder.encode(product, path)
        texts.append(vector if vector is not None else np.zeros(text_encoder.dimension, np.float32))
        aligned.append(models.encode(product, path))
    return np.stack(texts), np.stack(aligned)


def true_edges(full: ProductGraph, left: ProductGraph, left_out: list[str]) -> Ints:
    """The co-purchase edges from products that were taken out to products that were not, as rows of the two."""
    names = full.product_ids
    sources, targets = (
        names.take(pa.array(full.copurchase.source)),
        names.take(pa.array(full.copurchase.target)),
    )
    rows = [pc.index_in(sources, pa.array(left_out)), pc.index_in(targets, left.product_ids)]
    both = pc.and_(*(each.is_valid() for each in rows))
    return np.stack([each.filter(both).to_numpy().astype(np.int64) for each in rows], axis=1)


def judge(name: str, scores: Floats, edges: Ints, vectors: Floats | None = None) -> Row:
    """Rank every edge's target by its source's scores [m, n], without the source's other targets; print the line.

    Args:
        name: Name of the row.
        scores: Scores of all products for each source, float32 [m, n].
        edges: Rows of a source and of its true target, int64 [edges, 2].
        vectors: Scores that the row is compared with, float32 [m, n].
    """
    ranks = rank_all(scores, edges)
    metrics = ranking_metrics(ranks)
    over = None
    if vectors is not None:
        before = rank_all(vectors, edges)
        over = {
            figure: interval(of(ranks) - of(before), edges[:, 0])
            for figure, of in (
                ("mrr_at_10", lambda each: np.where(each <= 10, 1 / each, 0)),
                ("hits_at_10", lambda each: (each <= 10).astype(np.float64)),
            )
        }
    row = Row(name, metrics.mrr_at_10, metrics.hits_at_1, metrics.hits_at_10, over)
    print(
        f"{name:48} {row.mrr_at_10:8.4f} {row.hits_at_1:8.4f} {row.hits_at_10:8.4f} {over or ''}", flush=True
    )
    return row


def rank_all(scores: Floats, edges: Ints) -> npt.NDArray[np.float64]:
    """Return the rank of every edge's target, without the source's other targets, float64 [edges]."""
    listed = np.zeros(scores.shape, np.bool_)
    listed[edges[:, 0], edges[:, 1]] = True
    own = scores[edges[:, 0], edges[:, 1]][:, None]
    others = np.where(listed, -np.inf, scores)[edges[:, 0]]
    # Products that score alike share the mean of their ranks.
    ranks: npt.NDArray[np.float64] = 1 + (others > own).sum(1) + (others == own).sum(1) / 2
    return ranks


def by_release(workspace: Workspace, graph: ProductGraph, products: list[NewProduct]) -> tuple[Floats, int]:
    """Return 1 / place of each product in the answers of the release, float32 [m, n], and how many it ranked."""
    cold_start = ColdStart(workspace)
    answers = [cold_start.related(product, CANDIDATES) for product in products]
    scores = np.zeros((len(products), graph.products), np.float32)
    for row, answer in enumerate(answers):
        found = pa.array([hit.product.product_id for hit in answer.hits], pa.string())
        scores[row, pc.index_in(found, graph.product_ids.cast(pa.string()))] = 1 / np.arange(
            1, len(found) + 1
        )
    return scores, sum(answer.ranked for answer in answers)


def by_model(
    model: torch.nn.Module, catalogue: Catalogue, new: New, neighbours: int, factors: bool
) -> Floats:
    """Return source vectors by the dual-embedding model, float32 [m, d]: the new products appended to the whole graph.

    Args:
        model: Exported model, as MLflow has it.
        neighbours: Nearest products that stand in for co-viewed ones; without, a new product has no edges.
        factors: Whether it gets the mean of their proximity factors; otherwise they are zero.
    """
    known, m = catalogue.graph.products, len(new.aligned)
    nearest = np.argsort(-new.aligned @ catalogue.aligned.T)[:, :neighbours]
    given = np.zeros((2, m, catalogue.factors.shape[1]), np.float32)
    halves = catalogue.factors.reshape(2, known, -1)
    if factors:
        given = halves[:, nearest].mean(2)
    vectors = np.concatenate([catalogue.aligned, new.aligned])
    content = np.concatenate([vectors, np.abs(vectors).sum(1, keepdims=True) > 0], axis=1).astype(np.float32)
    proximity = np.concatenate([halves, given], axis=1).reshape(2 * (known + m), -1)
    pairs = (np.repeat(np.arange(known, known + m), neighbours), nearest.ravel())
    seen = catalogue.graph.coview
    coview = (np.concatenate([seen.source, pairs[0]]), np.concatenate([seen.target, pairs[1]]))
    bought = (catalogue.graph.copurchase.source, catalogue.graph.copurchase.target)
    arguments: list[torch.Tensor] = []
    for source, target in (bought, coview, bought[::-1], coview[::-1]):
        cover = double_cover(torch.from_numpy(source), torch.from_numpy(target), known + m)
        arguments += [cover.offsets, cover.positions]
    with torch.inference_mode():
        found: Floats = model(torch.from_numpy(content), torch.from_numpy(proximity), *arguments)[0].numpy()
    return found[known:]


def by_neighbours(catalogue: Catalogue, new: New, neighbours: int, weighted: bool) -> Floats:
    """Source vectors by the nearest products, float32 [m, d]: the mean of theirs, perhaps the nearer the heavier."""
    cosines = new.aligned @ catalogue.aligned.T
    nearest = np.argsort(-cosines)[:, :neighbours]
    sorted_cosines = np.take_along_axis(cosines, nearest, 1)
    weights = np.stack([weigh(row if weighted else np.zeros_like(row)) for row in sorted_cosines])
    means: Floats = np.einsum("mk,mkd->md", weights, catalogue.source[nearest])
    return means


def compare(model: torch.nn.Module, catalogue: Catalogue, new: New) -> list[Row]:
    """Judge every way, and the baselines."""
    popularity = np.bincount(catalogue.graph.copurchase.target, minlength=catalogue.graph.products)
    everyone = np.repeat(popularity[None].astype(np.float32), len(new.aligned), axis=0)
    rows = [
        judge("popularity", everyone, new.edges),
        judge("cosine of the texts", new.text @ catalogue.text.T, new.edges),
        judge("cosine of the aligned vectors", new.aligned @ catalogue.aligned.T, new.edges),
    ]
    ways: dict[str, Callable[[], Floats]] = {
        "the model, product alone": lambda: by_model(model, catalogue, new, 0, False),
        "the model, 10 nearest as co-views": lambda: by_model(model, catalogue, new, 10, False),
        "the model, 10 nearest as co-views, their factors": lambda: by_model(model, catalogue, new, 10, True),
        "source of the nearest product": lambda: by_neighbours(catalogue, new, 1, False),
        "mean of the 10 nearest": lambda: by_neighbours(catalogue, new, 10, False),
        **{
            f"weighted mean of the {k} nearest" + (", as is used" if k == NEIGHBOURS else ""): (
                partial(by_neighbours, catalogue, new, k, True)
            )
            for k in (5, 10, 20, 50)
        },
    }
    return rows + [judge(name, way() @ catalogue.target.T, new.edges) for name, way in ways.items()]


def latency(workspace: Workspace, products: list[NewProduct]) -> dict[str, float]:
    """Seconds of CPU, which other work on the machine does not change much.

    Returns:
        Of the command from its start to its answer, of the function's first query in this process, which has
        imported the libraries already, and of its later ones.
    """
    command = [
        str(Path(sys.executable).parent / "twinvec"),
        "related",
        "--title",
        "Blue suede shoes",
        "--json",
    ]
    environment = {**os.environ, "TWINVEC_HOME": str(workspace.settings.home)}
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    cold_start = ColdStart(workspace)
    took = []
    for product in products[:101]:
        started = time.process_time()
        cold_start.related(product)
        took.append(time.process_time() - started)
    median, slow = np.percentile(took[1:], [50, 95])
    return {"command": used, "first": took[0], "later_median": float(median), "later_p95": float(slow)}


def main() -> None:
    """Take out, train, rank and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the reduced catalogue's home")
    parser.add_argument("--output", type=Path, help="file for the JSON result")
    options = parser.parse_args()
    settings = load_settings()
    workspace = Workspace(settings)
    version = workspace.version("graph")
    snapshot, full = workspace.snapshot(version.snapshot_id), load_graph(Path(version.path))
    left_out = choose(full, settings.seed)
    reduced = make_release(snapshot, left_out, options.scratch, settings)
    encoders = find_encoders(reduced, live_collection(reduced.index, settings.release))
    catalogue = read_catalogue(reduced, encoders)
    products, paths = describe(snapshot, left_out, settings)
    edges = true_edges(full, catalogue.graph, left_out)
    print(
        f"{len(left_out)} products taken out, {catalogue.graph.products:,} left, {len(edges):,} edges between"
    )
    print(f"{'':48} {'MRR@10':>8} {'Hits@1':>8} {'Hits@10':>8}")
    new = New(*encode(encoders, products, paths), edges)
    model = mlflow.pytorch.load_model(encoders.versions["related"].model_uri)
    rows = compare(model, catalogue, new)
    vectors = by_neighbours(catalogue, new, NEIGHBOURS, weighted=True) @ catalogue.target.T
    answers, ranked = by_release(reduced, catalogue.graph, products)
    name = f"its {CANDIDATES} best, " + ("ranked by the release" if ranked else "as the release answers")
    rows.append(judge(name, answers, edges, vectors))
    seconds = latency(reduced, products)
    print("CPU: " + ", ".join(f"{name} {value:.3f} s" for name, value in seconds.items()))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "snapshot": snapshot.id,
            "taken_out": len(left_out),
            "left": catalogue.graph.products,
            "edges": len(edges),
            "cpu_seconds": seconds,
            "rows": [asdict(row) for row in rows],
        }
        options.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
