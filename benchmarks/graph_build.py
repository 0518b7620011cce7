"""Co-purchase pairs and NPMI of categories from order lines, beside DuckDB's self-join, Polars and pandas.

    python benchmarks/graph_build.py --output benchmarks/results/graph_build.json

Baskets are drawn from a catalogue with popularity skew and written as Parquet, in random order. Each contender reads
the two files, counts in how many baskets every two products come together, and gives NPMI of every two categories that
share baskets; results are tables in its own memory. Each run is a process of its own, so that its peak memory is its
own; a run over a thousand lines comes first, so that imports are not timed. All must find the same pairs, counts and
NPMI. Polars takes part if it is installed.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring import Ratio, add_output, bars, finish, peak_mib

Found = tuple[int, int, int, float]
"""Pairs of products, their counts added up, pairs of categories, their NPMI added up."""
OURS = "twinvec"
CATEGORIES = 300
LINES_A_PRODUCT = 20
MEAN_BASKET = 3.5
LARGEST = 200
WARM = 1_000
"""Lines that each process begins with, so that what its libraries import late is not timed."""
NPMI = """
    SELECT a, b, together, ln(together * total / (x.alone * y.alone)) / -ln(together / total) AS npmi
    FROM shared, (SELECT count(DISTINCT order_id)::DOUBLE AS total FROM category_line),
         (SELECT name, count(*)::DOUBLE AS alone FROM category_line GROUP BY name) AS x,
         (SELECT name, count(*)::DOUBLE AS alone FROM category_line GROUP BY name) AS y
    WHERE x.name = a AND y.name = b AND together < total
"""


def generate(folder: Path, lines: int, seed: int) -> None:
    """Write `orders.parquet` (order_id, product_id) with about `lines` rows, and `products.parquet`."""
    random = np.random.default_rng(seed)
    products = max(lines // LINES_A_PRODUCT, 50)
    sizes = np.minimum(random.geometric(1 / MEAN_BASKET, math.ceil(1.1 * lines / MEAN_BASKET)), LARGEST // 2)
    sizes = sizes[np.cumsum(sizes) <= lines]
    order = np.repeat(np.arange(len(sizes)), sizes)
    product = (products * random.random(len(order)) ** 3).astype(np.int64)
    mixed = random.permutation(len(order))
    with pq.ParquetWriter(
        folder / "orders.parquet", pa.schema([("order_id", pa.string()), ("product_id", pa.string())])
    ) as writer:
        for part in np.array_split(mixed, math.ceil(len(mixed) / 1_000_000)):
            names = [
                np.char.add("order-", order[part].astype(str)),
                np.char.add("P", product[part].astype(str)),
            ]
            writer.write_table(pa.table(dict(zip(("order_id", "product_id"), names, strict=True))))
    number = random.permutation(products)  # categories do not follow popularity
    pq.write_table(
        pa.table(
            {
                "product_id": [f"P{each}" for each in range(products)],
                "category": [f"Category {each % CATEGORIES}" for each in number],
            }
        ),
        folder / "products.parquet",
    )


def twinvec(folder: Path) -> Callable[[], Found]:
    """As ingesting and training `category` do it."""
    import duckdb

    from pipelines.category.npmi import npmi_of_baskets
    from twinvec.catalogue.mining import mine_pairs

    def build() -> Found:
        with duckdb.connect(config=_config(folder)) as connection:
            _views(connection, folder)
            connection.execute(
                "CREATE TABLE known AS SELECT product_id, row_number() OVER () AS line FROM products"
            )
            mine_pairs(connection, "orders", "order_id", "pair", LARGEST)
            connection.execute("CREATE VIEW baskets AS SELECT order_id AS basket, product_id FROM orders")
            connection.execute("CREATE VIEW category_of AS FROM products")
            connection.register("association", npmi_of_baskets(connection, 1))
            return _sums(connection)

    return build


def duckdb_join(folder: Path) -> Callable[[], Found]:
    """The self-join that everyone writes first."""
    import duckdb

    def build() -> Found:
        with duckdb.connect(config=_config(folder)) as connection:
            _views(connection, folder)
            connection.execute(
                """CREATE TABLE pair AS
                   WITH line AS (SELECT DISTINCT order_id, product_id FROM orders)
                   SELECT a.product_id AS source, b.product_id AS target, count(*) AS count
                   FROM line a JOIN line b ON a.order_id = b.order_id AND a.product_id < b.product_id GROUP BY ALL"""
            )
            connection.execute(
                """CREATE TABLE category_line AS
                   SELECT DISTINCT order_id, category AS name FROM orders JOIN products USING (product_id)"""
            )
            connection.execute(
                f"""CREATE TABLE association AS
                    WITH shared AS (
                        SELECT l.name AS a, r.name AS b, count(*)::DOUBLE AS together
                        FROM category_line l JOIN category_line r ON l.order_id = r.order_id AND l.name < r.name
                        GROUP BY ALL)
                    {NPMI}"""
            )
            return _sums(connection)

    return build


def polars_join(folder: Path) -> Callable[[], Found]:
    """The same in Polars' lazy frames."""
    import polars as pl

    def together(line: pl.LazyFrame, item: str) -> pl.DataFrame:
        return (
            line.join(line, on="order_id", suffix="_other")
            .filter(pl.col(item) < pl.col(f"{item}_other"))
            .group_by(item, f"{item}_other")
            .agg(pl.len().alias("count"))
            .collect(engine="streaming")
        )

    def build() -> Found:
        orders = pl.scan_parquet(folder / "orders.parquet")
        products = pl.scan_parquet(folder / "products.parquet")
        pairs = together(orders.unique(), "product_id")
        line = (
            orders.join(products, on="product_id")
            .select("order_id", "category")
            .unique()
            .collect(engine="streaming")
        )
        shared, total = together(line.lazy(), "category"), line["order_id"].n_unique()
        alone = line.group_by("category").agg(pl.len().alias("alone").cast(pl.Float64))
        both = shared.join(alone, on="category").join(
            alone, left_on="category_other", right_on="category", suffix="_other"
        )
        count = pl.col("count").cast(pl.Float64)  # products of counts do not fit 32 bits
        npmi = both.filter(count < total).select(
            (count * total / (pl.col("alone") * pl.col("alone_other"))).log() / -(count / total).log()
        )
        return len(pairs), int(pairs["count"].sum()), len(npmi), float(npmi.to_series().sum())

    return build


def pandas_join(folder: Path) -> Callable[[], Found]:
    """The same in pandas' merges."""
    import pandas as pd

    def together(line: pd.DataFrame, item: str) -> pd.DataFrame:
        both = line.merge(line, on="order_id", suffixes=("", "_other"))
        both = both[both[item] < both[f"{item}_other"]]
        return (
            both.groupby([item, f"{item}_other"], sort=False, observed=True).size().reset_index(name="count")
        )

    def build() -> Found:
        orders, products = (pd.read_parquet(folder / f"{name}.parquet") for name in ("orders", "products"))
        pairs = together(orders.drop_duplicates(), "product_id")
        line = orders.merge(products, on="product_id")[["order_id", "category"]].drop_duplicates()
        shared, total = together(line, "category"), line["order_id"].nunique()
        alone = line.groupby("category").size()
        shared = shared[shared["count"] < total]
        chance = shared["category"].map(alone) * shared["category_other"].map(alone)
        npmi = np.log(shared["count"] * total / chance) / -np.log(shared["count"] / total)
        return len(pairs), int(pairs["count"].sum()), len(npmi), float(npmi.sum())

    return build


CONTENDERS = {OURS: twinvec, "DuckDB": duckdb_join, "Polars": polars_join, "pandas": pandas_join}


def _config(folder: Path) -> dict[str, Any]:
    return {"memory_limit": "4GB", "temp_directory": str(folder / "spill")}


def _views(connection: Any, folder: Path) -> None:
    for name in ("orders", "products"):
        connection.execute(f"CREATE VIEW {name} AS FROM '{folder / name}.parquet'")


def _sums(connection: Any) -> Found:
    pairs, count = connection.execute("SELECT count(*), sum(count)::BIGINT FROM pair").fetchone()
    rows, npmi = connection.execute("SELECT count(*), sum(npmi) FROM association").fetchone()
    return pairs, count, rows, npmi


def run_here(name: str, folder: Path) -> dict[str, Any]:
    """One run in this process."""
    build = CONTENDERS[name](folder)
    CONTENDERS[name](folder / "warm")()
    started, used = time.perf_counter(), time.process_time()
    found = build()
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - used,
        "peak_mib": peak_mib(),
        "found": found,
    }


def measure(lines: int, repeats: int, names: list[str], seed: int) -> dict[str, Any]:
    """Run all in turns, each in a process of its own; the median of each, which must have found the same."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), lines, seed)
        (Path(folder) / "warm").mkdir()
        generate(Path(folder) / "warm", WARM, seed)
        for turn in range(repeats):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                command = [sys.executable, __file__, "--only", name, "--folder", folder]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                runs[name].append(json.loads(done.stdout))
    first = runs[names[0]][0]["found"]
    for name, rows in runs.items():
        if not np.allclose(rows[0]["found"], first, rtol=1e-9):
            raise SystemExit(f"{name} found {rows[0]['found']}, {names[0]} {first}")
    return {
        "pairs": first[0],
        "category_pairs": first[2],
        "contenders": {
            name: {key: median(row[key] for row in rows) for key in ("seconds", "cpu_seconds", "peak_mib")}
            for name, rows in runs.items()
        },
    }


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=10_000_000, help="order lines")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--without", nargs="*", default=[], choices=list(CONTENDERS), help="contenders left out"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    add_output(parser)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(run_here(options.only, options.folder)))
        return
    missing = [] if find_spec("polars") else ["Polars"]
    names = [name for name in CONTENDERS if name not in (*options.without, *missing)]
    figures = measure(options.size, options.repeats, names, options.seed)
    seconds = {name: row["seconds"] for name, row in figures["contenders"].items()}
    best = min((name for name in names if name != OURS), key=seconds.__getitem__)
    ratio = Ratio(
        "graph build", f"the best of the others, {best}", seconds[best] / seconds[OURS], 2.0, least=True
    )
    finish(options.output, vars(options), [ratio], figures, ("duckdb", "numpy", "pandas", "polars"))
    bars(options.output, f"Pairs and NPMI from {options.size:,} order lines", "seconds", seconds)


if __name__ == "__main__":
    main()
