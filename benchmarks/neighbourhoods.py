"""Seconds, memory and disk of the neighbourhoods of queries and products, by the number of purchase edges.

    python benchmarks/neighbourhoods.py --edges 1000000 10000000 --output benchmarks/results/neighbourhoods.json

Edges are drawn: a query is bought after by a handful of products, and products follow Zipf's law, so that some are
neighbours of thousands of queries. Each size runs in a process of its own, whose peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from benchmarks.measuring import add_output, finish, peak_mib
from pipelines.relevance.graph_files import EDGE_ENDS, LISTS, NODE_ENDS, write_neighbourhoods
from pipelines.relevance.purchase_graph import open_purchases
from twinvec.settings import load_settings

# Purchase edges of a query, and of a product, on average.
OF_QUERY, OF_PRODUCT = 5, 10
# Products by popularity: the share of the first x of them is x to this power, which is near Zipf's law.
SKEW = 3.0
DRAW = """
    COPY (
        SELECT 'query' || (random() * $queries)::BIGINT AS query_id,
               'product' || (pow(random(), $skew) * $products)::BIGINT AS product_id,
               (1 + floor(-ln(1 - random()) * 2))::BIGINT AS count
        FROM range($edges)
    ) TO '{}' (FORMAT parquet)"""


def draw(file: Path, edges: int) -> None:
    """Write purchases of so many edges; a few are of the same pair."""
    sizes = {"queries": edges // OF_QUERY, "products": edges // OF_PRODUCT, "skew": SKEW}
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        connection.execute("SELECT setseed(0.5)")
        connection.execute(DRAW.format(file), {"edges": edges, **sizes})


def measure(edges: int, folder: Path) -> dict[str, float]:
    """Build the neighbourhoods of drawn purchases in this process, and return the figures."""
    options = load_settings(home=folder / "home")
    purchases, written = folder / "purchases.parquet", folder / "written"
    draw(purchases, edges)
    written.mkdir()
    before, started = peak_mib(), time.perf_counter()
    size = options.neighbourhoods
    with open_purchases(purchases, size.nodes, options.ingest.memory_limit, folder / "spill") as graph:
        write_neighbourhoods(written, graph.node_ids, graph.neighbourhoods(size.nodes, size.chunk))
        roots = len(graph.node_ids)
    seconds = time.perf_counter() - started
    disk = sum((written / f"{name}.raw").stat().st_size for name in LISTS)
    disk += sum((written / name).stat().st_size for name in (NODE_ENDS, EDGE_ENDS))
    return {
        "edges": pq.read_metadata(purchases).num_rows,
        "roots": roots,
        "seconds": seconds,
        "memory_before_mib": before,
        "peak_mib": peak_mib(),
        "disk_mib": disk / 2**20,
        "bytes_a_root": disk / roots,
    }


def main() -> None:
    """Measure each size in a process of its own, and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edges", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--alone", action="store_true", help="measure one size in this process, and print it")
    add_output(parser)
    arguments = parser.parse_args()
    if arguments.alone:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(arguments.edges[0], Path(folder))))
        return
    sizes = []
    for edges in arguments.edges:
        command = [sys.executable, __file__, "--alone", "--edges", str(edges)]
        ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        sizes.append(json.loads(ended.stdout.splitlines()[-1]))
        print(sizes[-1])
    settings = {"memory_limit": load_settings().ingest.memory_limit, "edges": arguments.edges}
    finish(arguments.output, settings, [], {"sizes": sizes}, ("duckdb",))


if __name__ == "__main__":
    main()
