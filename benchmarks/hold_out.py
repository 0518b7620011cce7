"""Take a tenth of the co-purchases out of a snapshot, to rank what no run has seen.

    twinvec ingest meta_Digital_Music.json.gz --format amazon-2014
    python benchmarks/hold_out.py .twinvec/snapshots/<id> STORE EDGES.csv
    export TWINVEC_HOME=.held_out
    twinvec ingest STORE --format parquet
    twinvec run
    twinvec evaluate related --edges EDGES.csv

A graph of gnn-benchmark becomes a snapshot by `benchmarks/citeseer_store.py`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from twinvec.catalogue.snapshot import open_snapshot


def main() -> None:
    """Copy the tables, and divide the co-purchases."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("snapshot", type=Path, help="folder of a snapshot")
    parser.add_argument("store", type=Path, help="folder to write; it must not exist")
    parser.add_argument("edges", type=Path, help="CSV file to write, with the columns source and target")
    parser.add_argument("--share", type=float, default=0.1, help="share of the co-purchases to take out")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    snapshot = open_snapshot(arguments.snapshot)
    arguments.store.mkdir(parents=True)
    for table in snapshot.tables:
        shutil.copy(snapshot.table(table), arguments.store / f"{table}.parquet")
    pairs = pq.read_table(snapshot.table("copurchase"))
    order = np.random.default_rng(arguments.seed).permutation(len(pairs))
    count = int(arguments.share * len(pairs))
    pq.write_table(pairs.take(pa.array(np.sort(order[count:]))), arguments.store / "copurchase.parquet")
    held_out = pairs.select(["source", "target"]).take(pa.array(np.sort(order[:count])))
    pyarrow.csv.write_csv(held_out, arguments.edges)
    (arguments.store / "catalogue.json").write_text(json.dumps({"copurchase_directed": snapshot.directed}))
    print(
        f"{count:,} of {len(pairs):,} co-purchases are in {arguments.edges}, the others in {arguments.store}"
    )


if __name__ == "__main__":
    main()
