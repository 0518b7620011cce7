"""Vectors read through Feast, beside the bare join of the same files by DuckDB: of a version, and of histories.

    python benchmarks/features.py --output benchmarks/results/features.json

What is timed of both ends with the same: float32 vectors in the order of the keys, and which keys there are. The bare
way is the ASOF join that a point-in-time read means. In turns, after one run of each that does not count. The wanted
keys are those that there are in another order, and some that there are not.

- A version, which has one row a product, is read as by our pipelines, through `read_vectors`.
- A history has several rows a product, wanted at several random moments each, as for training on events; it is read
  through `FeatureStore.get_historical_features` with our offline store and with Feast's own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureStore, FeatureView, Field, FileSource
from feast.data_format import ParquetFormat
from feast.types import Array, Float32, String

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring import Ratio, add_output, bars, finish, in_turns, medians, peak_mib
from registry.models import State, Version
from twinvec import files
from twinvec.columns import EVENT_TIMESTAMP, PRODUCT_ID
from twinvec.features.definitions import entities
from twinvec.features.manifest import Manifest, write_manifest
from twinvec.features.reading import Vectors, read_vectors
from twinvec.features.store import CONFIG, apply_version, open_store
from twinvec.features.vectors import FOLDER, write_vectors
from twinvec.settings import Settings

FIELD = "text_vector"
MADE = datetime(2026, 3, 2, 1, tzinfo=UTC)
ABSENT = 0.01
"""Share of the wanted keys that the version does not have."""


def write_version(home: Path, rows: int, dimension: int, seed: int) -> Version:
    """Write a version of the space `text`, as the pipelines do; it is in no registry."""
    random = np.random.default_rng(seed)
    keys = [f"product-{row}" for row in range(rows)]
    vectors = random.standard_normal((rows, dimension), np.float32)
    manifest = Manifest(
        "text", PRODUCT_ID, (FIELD,), dimension, "cosine", False, rows, "cafe", None, "4567", "89ab"
    )
    folder = home / "versions" / "text" / "v1"
    folder.parent.mkdir(parents=True)
    with files.new_folder(folder) as draft:
        write_vectors(draft, PRODUCT_ID, keys, {FIELD: vectors}, MADE)
        write_manifest(draft, manifest)
    return Version(
        space="text",
        number=1,
        state=State.READY,
        snapshot_id="cafe",
        fingerprint="cafe",
        path=str(folder),
        manifest=manifest.to_json(),
        digest=manifest.digest,
        dimension=dimension,
        rows=rows,
    )


def write_history(path: Path, products: int, versions: int, dimension: int, seed: int) -> None:
    """Write `versions` vectors of each product, a day apart and a file each."""
    path.mkdir()
    random = np.random.default_rng(seed)
    for version in range(versions):
        values = pa.array(random.standard_normal(products * dimension, np.float32))
        columns = {
            PRODUCT_ID: [f"product-{row}" for row in random.permutation(products)],
            EVENT_TIMESTAMP: pa.array(
                [MADE + timedelta(days=version)] * products, pa.timestamp("us", tz="UTC")
            ),
            FIELD: pa.FixedSizeListArray.from_arrays(values, dimension).cast(pa.list_(pa.float32())),
        }
        pq.write_table(pa.table(columns), path / f"{version}.parquet")


def history_view(path: Path) -> FeatureView:
    """The histories as a feature view."""
    return FeatureView(
        name="histories",
        entities=[entities()[PRODUCT_ID]],
        ttl=timedelta(0),
        source=FileSource(path=str(path), timestamp_field=EVENT_TIMESTAMP, file_format=ParquetFormat()),
        schema=[Field(name=PRODUCT_ID, dtype=String), Field(name=FIELD, dtype=Array(Float32))],
    )


def through_feast(store: FeatureStore, wanted: pd.DataFrame, dimension: int) -> Vectors:
    """Histories as a colleague reads them."""
    table = store.get_historical_features(wanted, [f"histories:{FIELD}"]).to_arrow()
    return _in_order(table, len(wanted), dimension)


def bare(files: Path, wanted: pd.DataFrame, dimension: int) -> Vectors:
    """The same by DuckDB alone."""
    with duckdb.connect() as connection:
        connection.register("wanted", wanted)
        table = connection.sql(
            f"""SELECT row, {FIELD} FROM wanted ASOF LEFT JOIN '{files}/*.parquet' AS made
                ON wanted.{PRODUCT_ID} = made.{PRODUCT_ID} AND wanted.{EVENT_TIMESTAMP} >= made.{EVENT_TIMESTAMP}"""
        ).to_arrow_table()
    return _in_order(table, len(wanted), dimension)


def _in_order(table: pa.Table, rows: int, dimension: int) -> Vectors:
    vectors = np.zeros((rows, dimension), np.float32)
    column = table[FIELD].combine_chunks()
    present = np.zeros(rows, np.bool_)
    found = table["row"].to_numpy()[column.is_valid().to_numpy(zero_copy_only=False)]
    vectors[found], present[found] = column.flatten().to_numpy().reshape(-1, dimension), True
    return Vectors({FIELD: vectors}, present)


def choose(rows: int, products: int, seed: int) -> list[str]:
    """Keys in no order, each as often as another, some of which there are not."""
    random = np.random.default_rng(seed)
    chosen = random.permutation(rows + round(ABSENT * rows))[:rows]
    return [f"product-{row % products if row < rows else row}" for row in chosen]


def measure(rows: int, dimension: int, repeats: int, seed: int) -> dict[str, float]:
    """Seconds to read a version, through Feast and by DuckDB alone; they must read the same."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        version = write_version(settings.home, rows, dimension, seed)
        store = open_store(settings)
        apply_version(store, version)
        keys = choose(rows, rows, seed)

        def alone() -> Vectors:
            # The table of what is wanted is timed, as it is of `read_vectors`.
            wanted = pd.DataFrame(
                {PRODUCT_ID: keys, "row": np.arange(len(keys)), EVENT_TIMESTAMP: datetime.now(UTC)}
            )
            return bare(Path(version.path) / FOLDER, wanted, dimension)

        runs: dict[str, Callable[[], Vectors]] = {
            "through Feast": partial(read_vectors, store, version, keys),
            "bare DuckDB": alone,
        }
        return _seconds(runs, repeats)


def measure_histories(
    rows: int, products: int, versions: int, dimension: int, repeats: int, seed: int
) -> dict[str, float]:
    """Seconds to read `rows` vectors, each of a product as of a moment; all three must read the same."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder) / "home")
        settings.home.mkdir()
        history = Path(folder) / "history"
        write_history(history, products, versions, dimension, seed)
        ours = open_store(settings)
        ours.apply([entities()[PRODUCT_ID], history_view(history)])
        feasts = FeatureStore(repo_path=str(settings.home), fs_yaml_file=settings.home / CONFIG)
        hours = np.random.default_rng(seed + 1).integers(0, 24 * versions, rows)
        wanted = pd.DataFrame(
            {
                PRODUCT_ID: choose(rows, products, seed),
                "row": np.arange(rows),
                EVENT_TIMESTAMP: MADE + pd.to_timedelta(hours, unit="h"),
            }
        )
        runs: dict[str, Callable[[], Vectors]] = {
            "our offline store": partial(through_feast, ours, wanted, dimension),
            "Feast's own": partial(through_feast, feasts, wanted, dimension),
            "bare DuckDB": partial(bare, history, wanted, dimension),
        }
        return _seconds(runs, repeats)


def _seconds(runs: dict[str, Callable[[], Vectors]], repeats: int) -> dict[str, float]:
    first, *others = (run() for run in runs.values())
    for other in others:
        np.testing.assert_array_equal(first.present, other.present)
        np.testing.assert_array_equal(first.only(), other.only())
    return medians(in_turns(runs, repeats))


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=100_000, help="vectors that are read")
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--products", type=int, default=5_000, help="products with a history")
    parser.add_argument("--versions", type=int, default=8, help="vectors of each in a history")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    add_output(parser)
    options = parser.parse_args()
    of_version = measure(options.size, options.dimension, options.repeats, options.seed)
    of_histories = measure_histories(
        options.size, options.products, options.versions, options.dimension, options.repeats, options.seed
    )
    read, joined = of_version.values()
    ours, feasts, alone = of_histories.values()
    histories = f"read of histories of {options.versions} versions"
    ratios = [
        Ratio("read of a version", "the bare DuckDB join", read / joined, 1.3, least=False),
        Ratio(histories, "the bare DuckDB join", ours / alone, 1.3, least=False),
        Ratio(f"{histories}, reads/s", "Feast's own store", feasts / ours, 1, least=True),
    ]
    figures = {"seconds": of_version, "seconds_of_histories": of_histories, "peak_mib": peak_mib()}
    finish(options.output, vars(options), ratios, figures, ("feast", "ibis-framework", "duckdb", "pyarrow"))
    title = f"{options.size:,} times one of {options.versions} vectors of a product"
    bars(options.output, title, "seconds", of_histories)


if __name__ == "__main__":
    main()
