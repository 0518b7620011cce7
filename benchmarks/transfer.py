"""Related products of a small store and of new products, with and without lent behaviour (ProductSIM 6).

    python benchmarks/transfer.py --products 1000 --output benchmarks/results/transfer.json

A synthetic store with listings loses all events of some products of its large market, which are the new ones. The space
`similar` is trained, and `twinvec transfer` lends: from the large stores to the small one, and within the large
market to the new products. Related products are trained with the graph without and with what is lent. Ranked among all
products are: real held-out edges of the small store's own products; pairs that the new products had in the events
that were taken away; and real held-out edges between established products.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import duckdb
import numpy as np
import pyarrow as pa
import scipy.sparse as sp
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

import twinvec
from benchmarks.measuring import add_output, finish
from pipelines.graph.product_graph import Edges, ProductGraph, Split, load_graph
from pipelines.related.held_out import Tested, read_tested
from pipelines.transfer.pipeline import transfer
from twinvec.catalogue.synthetic import generate
from twinvec.home import Home
from twinvec.metrics.intervals import confidence_interval
from twinvec.metrics.ranking import rank_targets, ranking_metrics, reciprocal_ranks

SMALL, MARKET = "mx", "us"
LARGE = ("us", "es", "br")
AMONG = "established, among themselves"
NEW_SHARE, NEW_EVENTS = 0.08, 12
Floats: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]
SETTINGS: dict[str, Any] = {
    "device": "cpu",
    "similar": {"images": False, "words": ["title", "attributes"], "max_length": 32, "epochs": 6},
    "text": {"scheme": "none"},
    "image": {"scheme": "none"},
    "related": {"refit": False, "dimension": 64},
}


@dataclass(frozen=True)
class Slices:
    """Edges to rank, by whose related products they are, and the products whose behaviour is counted."""

    edges: dict[str, Edges]
    products: dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]


def make_store(folder: Path, products: int, seed: int) -> list[str]:
    """Generate the store, and move the events of the new products out of its logs; return their ids."""
    generate(folder, products, seed=seed, images=False, listings=True)
    with duckdb.connect() as connection:
        new = connection.execute(
            f"""SELECT product_id FROM '{folder}/listings.parquet'
                WHERE marketplace = ? AND product_id IN (
                    SELECT product_id FROM (
                        SELECT product_id FROM '{folder}/orders.parquet'
                        UNION ALL SELECT product_id FROM '{folder}/views.parquet'
                    ) GROUP BY 1 HAVING count(*) >= ?)
                GROUP BY 1 HAVING md5_number_lower(product_id) % 1000 < ? ORDER BY 1""",
            [MARKET, NEW_EVENTS, int(1000 * NEW_SHARE)],
        ).fetchall()
        connection.execute("CREATE TABLE new AS SELECT unnest(?) AS product_id", [[each for (each,) in new]])
        for name in ("orders", "views"):
            file, whole = folder / f"{name}.parquet", folder / "truth" / f"all_{name}.parquet"
            file.rename(whole)
            connection.execute(
                f"""COPY (FROM '{whole}' WHERE product_id NOT IN (FROM new)) TO '{file}' (FORMAT parquet)"""
            )
    return [each for (each,) in new]


def slices_of(graph: ProductGraph, folder: Path, new: list[str]) -> Slices:
    """Return the edges and products of each slice, numbered as in the graph."""
    with duckdb.connect() as connection:
        connection.from_arrow(
            pa.table({"node": np.arange(graph.products), "product_id": graph.product_ids})
        ).create("node")
        connection.execute("CREATE TABLE new AS SELECT unnest(?) AS product_id", [new])
        connection.execute(f"CREATE TABLE orders AS FROM '{folder}/truth/all_orders.parquet'")
        taken = connection.sql(
            """SELECT DISTINCT s.node, t.node AS other FROM orders a JOIN orders b USING (order_id)
               JOIN node s ON s.product_id = a.product_id JOIN node t ON t.product_id = b.product_id
               WHERE a.product_id IN (FROM new) AND b.product_id NOT IN (FROM new)"""
        ).fetchnumpy()
    ids = np.array(graph.product_ids.to_pylist())
    own, fresh = np.char.startswith(ids, "M"), np.isin(ids, new)
    test = graph.edges(Split.TEST)
    established = ~own & ~fresh
    ones = np.ones(len(taken["node"]), np.int64)
    return Slices(
        {
            "small store": test.only(own[test.source]),
            "new products": Edges(taken["node"], taken["other"], ones),
            "established": test.only(~own[test.source] & ~own[test.target]),
            AMONG: test.only(established[test.source] & established[test.target]),
        },
        {
            "small store": np.flatnonzero(own),
            "new products": np.flatnonzero(fresh),
            "established": np.flatnonzero(established),
            AMONG: np.flatnonzero(established),
        },
    )


def train(home: Home) -> tuple[ProductGraph, Tested]:
    """Train related products, and return their graph and vectors."""
    versions = {step.space: step.version for step in home.train("related")}
    graph, related = versions["graph"], versions["related"]
    if graph is None or related is None:
        raise SystemExit("related products were not trained")
    tested = read_tested(home.workspace, related)
    if tested is None:
        raise SystemExit("the version of related has no graph")
    return load_graph(Path(graph.path)), tested


def held_out_mrr(real: ProductGraph, tested: Tested) -> float:
    """Return the MRR@10 of all validation edges, which `graph.lent_half` is chosen by."""
    held_out, known = real.edges(Split.VALIDATION), real.edges(Split.TRAIN).matrix(real.products)
    source, target = (torch.from_numpy(np.ascontiguousarray(each)) for each in (tested.source, tested.target))
    return ranking_metrics(rank_targets(source, target, held_out.ends, known)).mrr_at_10


def judge(
    real: ProductGraph, graph: ProductGraph, tested: Tested, slices: Slices
) -> tuple[dict[str, dict[str, float]], dict[str, Floats]]:
    """Rank the edges of each slice; left out are real edges alone, so that what is lent has to compete.

    Edges of established products are also ranked among these alone: what they lose there, they do not lose to the
    products that borrow.

    Returns:
        The figures of each slice, and 1 / rank of each of its edges, zero beyond rank 10.
    """
    known = real.copurchase.matrix(real.products)
    source, target = (torch.from_numpy(np.ascontiguousarray(each)) for each in (tested.source, tested.target))
    trained = np.union1d(graph.edges(Split.TRAIN).source, graph.edges(Split.TRAIN).target)
    others = np.ones(real.products, np.float32)
    others[slices.products["established"]] = 0
    left_out = {AMONG: sp.csr_array(known + sp.csr_array(np.tile(others, (real.products, 1))))}
    figures, reciprocal = {}, {}
    for name, edges in slices.edges.items():
        ranks = rank_targets(source, target, edges.ends, left_out.get(name, known))
        ranked, reciprocal[name] = ranking_metrics(ranks), reciprocal_ranks(ranks)
        figures[name] = {
            "edges": ranked.edges,
            "mrr_at_10": ranked.mrr_at_10,
            "hits_at_10": ranked.hits_at_10,
            "coverage": float(np.isin(slices.products[name], trained).mean()),
        }
    return figures, reciprocal


def measure(products: int, seeds: int, halves: list[float]) -> dict[str, Any]:
    """Measure all arms on stores of several seeds, and average."""
    runs = []
    for seed in range(seeds):
        with TemporaryDirectory() as temporary:
            runs.append(measure_one(Path(temporary), products, seed, halves))
    arms = list(runs[0]["arms"])
    means = {
        f"{part}, {arm}": {
            figure: float(np.mean([run["arms"][arm][part][figure] for run in runs]))
            for figure in runs[0]["arms"][arm][part]
        }
        for part in runs[0]["arms"]["without"]
        for arm in arms
    }
    validation = {arm: float(np.mean([run["validation"][arm] for run in runs])) for arm in arms}
    ranks = {
        arm: {
            part: np.concatenate([run["ranks"][arm][part] for run in runs]) for part in runs[0]["ranks"][arm]
        }
        for arm in arms
    }
    for arm in arms[1:]:
        for part, values in ranks[arm].items():
            low, high = confidence_interval(values - ranks["without"][part])
            means[f"{part}, {arm}"] |= {"to_without_low": low, "to_without_high": high}
    return {"figures": means, "validation": validation, "transfers": [run["transfers"] for run in runs]}


def measure_one(folder: Path, products: int, seed: int, halves: list[float]) -> dict[str, Any]:
    """Measure related products without lent behaviour, with all of it, and with `graph.lent_half` of each value."""
    new = make_store(folder / "store", products, seed)
    with twinvec.open(folder / "home", seed=seed, **SETTINGS) as home:
        home.ingest(folder / "store")
        home.train("similar")
        home.publish("similar", name="similar_products")
        home.promote(name="similar_products")
        made = [
            transfer(home.workspace, LARGE, SMALL),
            transfer(home.workspace, LARGE, MARKET),
        ]
        real, tested = train(home)
        slices = slices_of(real, folder / "store", new)
        arms, ranks = ({"without": each} for each in judge(real, real, tested, slices))
        validation = {"without": held_out_mrr(real, tested)}
    for half in (None, *halves):
        name = "with" if half is None else f"with, half at {half:g}"
        graph = {"transferred": [each.name for each in made], "lent_half": half}
        with twinvec.open(folder / "home", seed=seed, **SETTINGS, graph=graph) as home:
            lent, tested = train(home)
            arms[name], ranks[name] = judge(real, lent, tested, slices)
            validation[name] = held_out_mrr(real, tested)
        print(f"seed {seed}, {name}: {arms[name]}, {validation[name]:.4f}", file=sys.stderr, flush=True)
    counted = ("to", "products", "mapped", "lenders", "copurchase", "coview", "unsold", "threshold")
    return {
        "arms": arms,
        "ranks": ranks,
        "validation": validation,
        "transfers": [{name: getattr(each, name) for name in counted} for each in made],
    }


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--halves", type=float, nargs="*", default=[0.25], help="values of graph.lent_half")
    add_output(parser)
    arguments = parser.parse_args()
    measured = measure(arguments.products, arguments.seeds, arguments.halves)
    finish(arguments.output, vars(arguments), [], measured, ("torch", "qdrant-client"))


if __name__ == "__main__":
    main()
