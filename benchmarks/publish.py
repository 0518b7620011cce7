"""Publishing and querying through Twinvec, beside Qdrant Edge's own calls for the same points.

    python benchmarks/publish.py --output benchmarks/results/publish.json

Publishing: the same points in the same batches into a collection of the same config, in turns. The bare way creates
the shard and its payload indexes, upserts and builds; what Twinvec adds (reading everything back, recall against exact
search) is in its seconds and given apart.

Queries: the same products in turns, ten hits whose scores and payloads are read, each way against a collection of its
own with the same points. `VectorIndex.search` stands beside a search with the same vector. `Recommender.related`, which
is given a product's id, finds out what is live and tells what is known of the product, stands beside a user who has its
point id and needs no more than the hits: as Edge takes no point for a query, the source vector is retrieved and
searched with. There are two bare ways of either:

    query   Edge's general call, as its guide has it; the product itself is left out by a condition
    search  the calls that Twinvec makes: Edge's plain search, for one hit more, the product left out of what is found
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring import Ratio, add_output, bars, finish, peak_mib
from twinvec.serving.related import Recommender
from twinvec.settings.stores import QdrantSettings
from twinvec.vectors import PointBatch, make_points, publish
from twinvec.vectors.edge import EdgeIndex
from twinvec.vectors.index import FLOAT_FIELDS, KEYWORD_FIELDS, SOURCE, TARGET

ALIAS, COLLECTION = "related_products", "related_products__v1"
K = 10


def draw_points(products: int, dimension: int, batch: int, seed: int) -> list[PointBatch]:
    """Products with vectors that lie in clusters, as learned ones do, in batches."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((200, dimension), np.float32)
    made = []
    for start in range(0, products, batch):
        numbers = range(start, min(start + batch, products))
        near = centres[random.integers(0, 200, len(numbers))]
        source, target = (near + 0.7 * random.standard_normal(near.shape, np.float32) for _ in range(2))
        made.append(
            make_points(
                product_id=[f"product-{each}" for each in numbers],
                marketplace=["es"] * len(numbers),
                title=[f"Product {each} of the season" for each in numbers],
                category=[["All", f"Category {each % 50}"] for each in numbers],
                price=random.random(len(numbers)).tolist(),
                release=COLLECTION,
                source=source,
                target=target,
            )
        )
    return made


def bare_publish(folder: Path, batches: list[PointBatch], settings: QdrantSettings) -> edge.EdgeShard:
    """Create, upsert and build by Edge alone."""
    dimension = batches[0].source.shape[1]

    def vector(m: int) -> edge.EdgeVectorParams:
        graph = edge.HnswIndexConfig(
            m=m, ef_construct=settings.ef_construct, full_scan_threshold=settings.full_scan_threshold
        )
        return edge.EdgeVectorParams(dimension, edge.Distance.Dot, hnsw_config=graph)

    folder.mkdir(parents=True)
    shard = edge.EdgeShard.create(
        str(folder),
        edge.EdgeConfig(
            vectors={SOURCE: vector(0), TARGET: vector(settings.m)},
            optimizers=edge.EdgeOptimizersConfig(indexing_threshold=settings.full_scan_threshold),
            wal_enabled=False,
        ),
    )
    for names, kind in (
        (KEYWORD_FIELDS, edge.PayloadSchemaType.Keyword),
        (FLOAT_FIELDS, edge.PayloadSchemaType.Float),
    ):
        for name in names:
            shard.update(edge.UpdateOperation.create_field_index(name, kind))
    for batch in batches:
        points = [
            edge.Point(id=id_, vector={SOURCE: source, TARGET: target}, payload=payload)
            for id_, source, target, payload in zip(
                batch.ids, batch.source.tolist(), batch.target.tolist(), batch.payloads, strict=True
            )
        ]
        shard.update(edge.UpdateOperation.upsert_points(points))
    shard.optimize()
    shard.flush()
    return shard


def time_publish(
    root: Path, batches: list[PointBatch], repeats: int
) -> tuple[dict[str, Any], EdgeIndex, Any]:
    """Seconds of publishing each way, in turns; and what the last turn made."""
    settings = QdrantSettings()
    points = sum(len(batch.ids) for batch in batches)
    seconds: dict[str, list[float]] = {"twinvec": [], "bare Edge": []}
    verifying = []
    for turn in range(repeats):
        index = EdgeIndex(root / f"twinvec-{turn}")
        started = time.perf_counter()
        found = publish(
            index,
            COLLECTION,
            batches,
            points,
            batches[0].source.shape[1],
            {"version": "related@v1"},
            settings,
        )
        seconds["twinvec"].append(time.perf_counter() - started)
        verifying.append(found.verify_seconds)
        started = time.perf_counter()
        shard = bare_publish(root / f"bare-{turn}", batches, settings)
        seconds["bare Edge"].append(time.perf_counter() - started)
    index.switch_alias(ALIAS, COLLECTION)
    figures = {
        "seconds": {name: float(np.median(values)) for name, values in seconds.items()},
        "of_which_verifying": float(np.median(verifying)),
        "recall_at_10": found.recall_at_10,
        "ef": found.ef,
    }
    return figures, index, shard


Bare = tuple[Callable[[str, str], Any], Callable[[list[float]], Any]]


def by_query(shard: Any, parameters: edge.SearchParams) -> Bare:
    """Edge's general call: by a product's point id and product id, and by a vector."""

    def by_vector(vector: list[float], conditions: edge.Filter | None = None) -> list[Any]:
        nearest = edge.Query.Nearest(vector, using=TARGET)
        request = edge.QueryRequest(
            query=nearest, limit=K, filter=conditions, params=parameters, with_payload=True
        )
        return [(point.score, point.payload) for point in shard.query(request)]

    def by_id(id_: str, _product: str) -> list[Any]:
        (record,) = shard.retrieve([id_], with_payload=False, with_vector=[SOURCE])
        return by_vector(record.vector[SOURCE], edge.Filter(must_not=[edge.HasIdCondition({id_})]))

    return by_id, by_vector


def by_search(shard: Any, parameters: edge.SearchParams) -> Bare:
    """The calls that Twinvec makes, and nothing else."""

    def by_vector(vector: list[float], k: int = K) -> list[Any]:
        nearest = edge.Query.Nearest(vector, using=TARGET)
        found = shard.search(edge.SearchRequest(nearest, k, params=parameters, with_payload=True))
        return [(point.score, point.payload) for point in found]

    def by_id(id_: str, product: str) -> list[Any]:
        (record,) = shard.retrieve([id_], with_payload=False, with_vector=[SOURCE])
        found = by_vector(record.vector[SOURCE], K + 1)
        return [hit for hit in found if hit[1]["product_id"] != product][:K]

    return by_id, by_vector


STRICT = "bare Edge, search"
CONTENDERS = {"bare Edge, query": by_query, STRICT: by_search}


def time_queries(
    index: EdgeIndex,
    shard: Any,
    batches: list[PointBatch],
    queries: int,
    seed: int,
    contender: Callable[[Any, edge.SearchParams], Bare],
    warm: int = 200,
) -> dict[str, dict[str, float]]:
    """Milliseconds a query of each way, at the median and the 99th percentile; the first `warm` do not count."""
    recommender = Recommender(index, ALIAS, ef=128)
    ef = index.search_ef(COLLECTION)
    bare_by_id, bare_by_vector = contender(shard, edge.SearchParams(hnsw_ef=ef))
    milliseconds: dict[str, list[float]] = {
        name: [] for name in ("by id", "by id, bare", "by vector", "by vector, bare")
    }
    random = np.random.default_rng(seed)
    for turn in range(warm + queries):
        batch = batches[random.integers(len(batches))]
        row = int(random.integers(len(batch.ids)))
        product, id_, vector = batch.payloads[row]["product_id"], batch.ids[row], batch.source[row : row + 1]
        as_list = vector[0].tolist()
        runs: dict[str, Callable[[], Any]] = {
            "by id": partial(recommender.related, product, K),
            "by id, bare": partial(bare_by_id, id_, product),
            "by vector": partial(index.search, COLLECTION, vector, K, ef=ef),
            "by vector, bare": partial(bare_by_vector, as_list),
        }
        for name in sorted(runs, key=lambda _: random.random()):
            started = time.perf_counter()
            runs[name]()
            if turn >= warm:
                milliseconds[name].append(1000 * (time.perf_counter() - started))
    return {
        name: {"p50": float(np.percentile(values, 50)), "p99": float(np.percentile(values, 99))}
        for name, values in milliseconds.items()
    }


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=100_000, help="products")
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=1, help="times that all is published")
    parser.add_argument("--seed", type=int, default=0)
    add_output(parser)
    options = parser.parse_args()
    batches = draw_points(options.size, options.dimension, QdrantSettings().batch, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        published, index, shard = time_publish(Path(folder), batches, options.repeats)
        queried = {
            name: time_queries(index, shard, batches, options.queries, options.seed, contender)
            for name, contender in CONTENDERS.items()
        }
        index.close()
    seconds = published["seconds"]
    ratios = [
        Ratio("publish", "bare Edge", seconds["twinvec"] / seconds["bare Edge"], 1.2, least=False),
        *(
            Ratio(
                f"query {way}, {part}",
                name,
                timed[way][part] / timed[f"{way}, bare"][part],
                1.2,
                least=False,
            )
            for name, timed in queried.items()
            for way in ("by id", "by vector")
            for part in ("p50", "p99")
        ),
    ]
    figures = {"publish": published, "query_milliseconds": queried, "peak_mib": peak_mib()}
    finish(options.output, vars(options), ratios, figures, ("qdrant-edge-py", "numpy"))
    bars(
        options.output,
        f"Queries of {options.size:,} products, beside {STRICT}",
        "ms",
        {f"{way}, {part}": value for way, parts in queried[STRICT].items() for part, value in parts.items()},
    )


if __name__ == "__main__":
    main()
