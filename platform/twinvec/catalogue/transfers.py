"""Lent behaviour: pairs of products as if they had been bought or viewed together, marked by who lends them.

A transfer is a folder of the home, named by the digest of what it was made from. Snapshots never hold lent pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from twinvec.errors import NotFoundError
from twinvec.paths import HomePaths

LENT_FILE, MAPPING_FILE, RECORD_FILE = "lent.parquet", "mapping.parquet", "transfer.json"
LENT = pa.schema(
    [
        # `copurchase` or `coview`.
        ("behaviour", pa.string()),
        ("source", pa.string()),
        ("target", pa.string()),
        # Count of the lending pair, times the confidence.
        ("count", pa.float64()),
        ("confidence", pa.float64()),
        ("lender_source", pa.string()),
        ("lender_target", pa.string()),
    ]
)


def lent_files(paths: HomePaths, names: Sequence[str]) -> list[Path]:
    """Return the tables of some transfers.

    Raises:
        NotFoundError: If there is no transfer of such a name.
    """
    for name in names:
        if not (paths.transfers / name / LENT_FILE).is_file():
            there = sorted(each.parent.name for each in paths.transfers.glob(f"[0-9a-f]*/{RECORD_FILE}"))
            raise NotFoundError(
                f"graph.transferred names {name!r}, and there is no such transfer",
                f"there are: {', '.join(there)}" if there else "`twinvec transfer --from … --to …` makes one",
            )
    return [paths.transfers / name / LENT_FILE for name in names]
