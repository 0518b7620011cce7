"""Write CiteSeer as a catalogue: documents as products, citations as directed co-purchases, no content.

    python benchmarks/citeseer_store.py citeseer.npz STORE
    twinvec ingest STORE --format parquet
    twinvec ablate related --output docs/results/related_citeseer.md

The words of a document are numbers there, which no text encoder reads; `benchmarks/dirlinkbench.py` has the graph with
its words.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.dirlinkbench_data import read_documents
from twinvec.columns import PAIRS, PRODUCTS


def main() -> None:
    """Read the file and write the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="citeseer.npz of gnn-benchmark")
    parser.add_argument("store", type=Path, help="folder to write; it must not exist")
    arguments = parser.parse_args()
    citations = read_documents(arguments.data).citations.tocoo()
    ids = np.char.add("d", np.char.zfill(np.arange(citations.shape[0]).astype(str), 5))
    arguments.store.mkdir(parents=True)
    products = [{"product_id": name, "category": [], "marketplace": "citeseer"} for name in ids.tolist()]
    pq.write_table(pa.Table.from_pylist(products, PRODUCTS), arguments.store / "products.parquet")
    source, target = citations.coords
    other = source != target
    pairs = {
        "source": ids[source[other]],
        "target": ids[target[other]],
        "count": np.ones(int(other.sum()), np.int64),
    }
    pq.write_table(pa.table(pairs, schema=PAIRS), arguments.store / "copurchase.parquet")
    (arguments.store / "catalogue.json").write_text(json.dumps({"copurchase_directed": True}))


if __name__ == "__main__":
    main()
