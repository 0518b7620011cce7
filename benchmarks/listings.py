"""Memory of the stage `similar` by the number of listings.

    python benchmarks/listings.py --output benchmarks/results/listings.json
    python benchmarks/listings.py --listings 5000 50000

Each number of listings is trained in a process of its own, from texts alone. Memory is the largest that the process had
beside files that are mapped into it (`RssAnon` of Linux), read every 20 ms. Growth is the difference of two memories
over the difference of their listings.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import twinvec
from benchmarks.measuring import AnonymousPeak, add_output, finish
from twinvec.catalogue.synthetic.store import generate

A_PRODUCT = 2.2
"""Listings of a product of the synthetic store, about."""


def options(dimension: int) -> dict[str, Any]:
    """Return the settings of the home."""
    return {
        "device": "cpu",
        "ingest": {"memory_limit": "256MB"},
        "similar": {
            "words": ["title"],
            "max_length": 8,
            "images": False,
            "epochs": 1,
            "dimension": dimension,
            "hidden": 32,
        },
    }


def prepare(folder: Path, listings: int) -> int:
    """Make a home with a snapshot of about this many listings; return their number."""
    generate(folder / "store", round(listings / A_PRODUCT), images=False, listings=True)
    with twinvec.open(folder / "home", **options(2)) as home:
        return int(home.ingest(folder / "store").snapshot.tables["listings"])


def train(folder: Path, dimension: int) -> None:
    """Train in this process, and print its peak as JSON."""
    peak = AnonymousPeak()
    with twinvec.open(folder / "home", peak.progress, **options(dimension)) as home, peak:
        home.train("similar")
    print(json.dumps({"peak_mib": round(peak.mib, 1), "reached_after": peak.at}))


def measure(sizes: list[int], dimension: int) -> list[dict[str, Any]]:
    """Train with each number of listings; the rows have the peak in MiB, and the growth since the row before."""
    rows: list[dict[str, Any]] = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            listings = prepare(folder, size)
            command = [sys.executable, __file__, "--train", name, "--dimension", str(dimension)]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        told = json.loads(said.splitlines()[-1])
        row = {"listings": listings, **told}
        if rows:
            risen = (row["peak_mib"] - rows[-1]["peak_mib"]) * 2**20
            row["bytes_a_listing"] = round(risen / (listings - rows[-1]["listings"]))
        rows.append(row)
        print(row, flush=True)
    return rows


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--listings", type=int, nargs="+", default=[5_000, 50_000, 200_000])
    parser.add_argument("--dimension", type=int, default=128, help="length of a vector")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    add_output(parser)
    chosen = parser.parse_args()
    if chosen.train:
        train(chosen.train, chosen.dimension)
        return
    rows = measure(chosen.listings, chosen.dimension)
    settings = {"listings": chosen.listings, "dimension": chosen.dimension}
    finish(chosen.output, settings, [], {"memory": rows}, ("torch", "duckdb", "pyarrow"))


if __name__ == "__main__":
    main()
