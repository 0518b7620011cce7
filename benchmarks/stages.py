"""Tell how long each stage of `twinvec run` took in a home: the rates that estimates are made of.

    twinvec run
    python benchmarks/stages.py --output benchmarks/results/stages.json

The home (TWINVEC_HOME) has versions made with the default settings; their seconds are those that the registry recorded.
A rate is the seconds of the newest version of a space for each row of the table that its time grows with. Rates that
the output holds of other spaces, or that were measured on more rows, stay. `platform/twinvec/estimates.py` holds the
same table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring import add_output, finish
from registry import operations
from registry.database import transaction
from twinvec.estimates import recorded_seconds
from twinvec.settings import load_settings
from twinvec.workspace import Workspace

TABLES: Mapping[str, str] = {
    "category": "products",
    "graph": "copurchase",
    "text": "coview",
    "image": "products",
    "aligned": "coview",
    "related": "copurchase",
    "ranking": "products",
    "sellers": "offers",
    "similar": "listings",
    "neighbourhoods": "query_purchases",
    "relevance": "judgements",
}


def measure(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """Return the rate of each space that the home has a version of, with what it was measured on."""
    rates = {}
    for space, table in TABLES.items():
        with transaction(workspace.engine) as session:
            version = operations.latest_version(session, space)
        if version is None:
            continue
        seconds = recorded_seconds(workspace, [version])[version.name]
        rows = workspace.snapshot(version.snapshot_id).tables[table]
        rates[space] = {
            "table": table,
            "seconds": float(f"{seconds / rows:.3g}"),
            "measured_seconds": seconds,
            "rows": rows,
            "products": version.snapshot.products,
        }
    return rates


def main() -> None:
    """Measure, and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_output(parser)
    options = parser.parse_args()
    earlier = options.output and options.output.exists() and json.loads(options.output.read_text("utf-8"))
    rates = dict(earlier["rates"]) if earlier else {}
    for space, rate in measure(Workspace(load_settings())).items():
        if space not in rates or rates[space]["rows"] <= rate["rows"]:
            rates[space] = rate
    finish(options.output, {"threads": torch.get_num_threads()}, [], {"rates": rates}, ("torch", "dgl"))


if __name__ == "__main__":
    main()
