"""Vectors of a version read through Feast, beside the bare join of the same files by DuckDB.

    python benchmarks/features.py --output benchmarks/results/features.json

What is timed of both ends with the same: float32 vectors in the order of the keys, and which keys there are. The bare
way is the ASOF join that a point-in-time read means. Measured as they are read by our pipelines, through
`read_vectors`, in turns, after one run of each that does not count; the wanted keys are those of the version in
another order, and some that it does not have.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring import Ratio, add_output, bars, finish, in_turns, medians, peak_mib
from registry.models import State, Version
from twinvec import files
from twinvec.columns import EVENT_TIMESTAMP, PRODUCT_ID
from twinvec.features.manifest import Manifest, write_manifest
from twinvec.features.reading import Vectors, read_vectors
from twinvec.features.store import apply_version, open_store
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


def bare(version: Version, keys: list[str]) -> Vectors:
    """The same by DuckDB alone."""
    wanted = pd.DataFrame({PRODUCT_ID: keys, "row": np.arange(len(keys)), EVENT_TIMESTAMP: datetime.now(UTC)})
    with duckdb.connect() as connection:
        connection.register("wanted", wanted)
        table = connection.sql(
            f"""SELECT row, {FIELD} FROM wanted ASOF LEFT JOIN '{Path(version.path) / FOLDER}/*.parquet' AS made
                ON wanted.{PRODUCT_ID} = made.{PRODUCT_ID} AND wanted.{EVENT_TIMESTAMP} >= made.{EVENT_TIMESTAMP}"""
        ).to_arrow_table()
    vectors = np.zeros((len(keys), int(version.dimension or 0)), np.float32)
    column = table[FIELD].combine_chunks()
    present = np.zeros(len(keys), np.bool_)
    found = table["row"].to_numpy()[column.is_valid().to_numpy(zero_copy_only=False)]
    vectors[found], present[found] = column.flatten().to_numpy().reshape(-1, vectors.shape[1]), True
    return Vectors({FIELD: vectors}, present)


def measure(rows: int, dimension: int, repeats: int, seed: int) -> dict[str, Any]:
    """Seconds of each; they must read the same."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        version = write_version(settings.home, rows, dimension, seed)
        store = open_store(settings)
        apply_version(store, version)
        absent = round(ABSENT * rows)
        keys = [f"product-{row}" for row in np.random.default_rng(seed).permutation(rows + absent)[:rows]]
        runs = {
            "through Feast": partial(read_vectors, store, version, keys),
            "bare DuckDB": partial(bare, version, keys),
        }
        read, joined = (run() for run in runs.values())
        np.testing.assert_array_equal(read.present, joined.present)
        np.testing.assert_array_equal(read.only(), joined.only())
        seconds = medians(in_turns(runs, repeats))
    return {"seconds": seconds, "peak_mib": peak_mib()}


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=100_000, help="products")
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    add_output(parser)
    options = parser.parse_args()
    figures = measure(options.size, options.dimension, options.repeats, options.seed)
    ours, reference = figures["seconds"].values()
    ratio = Ratio("read of a version", "the bare DuckDB join", ours / reference, 1.3, least=False)
    finish(options.output, vars(options), [ratio], figures, ("feast", "ibis-framework", "duckdb", "pyarrow"))
    bars(options.output, f"{options.size:,} vectors of {options.dimension}", "seconds", figures["seconds"])


if __name__ == "__main__":
    main()
