"""Lent behaviour: pairs of products as if they had been bought or viewed together, marked by who lends them.

A transfer is a folder of the home, named by the digest of what it was made from. Snapshots never hold lent pairs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from twinvec.errors import NotFoundError, StoreError
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


@dataclass(frozen=True)
class Transfer:
    """Counts of a transfer.

    Attributes:
        name: Digest of what it was made from, for `graph.transferred`.
        snapshot: Snapshot whose pairs are lent: that of the live release.
        release: Release that mapped the products.
        stores: Marketplaces that lend.
        to: Marketplace that borrows.
        threshold: Least cosine of a lender.
        k: Most lenders of a product.
        established: Least number of events of a lender; products with fewer borrow.
        products: Products of `to` with fewer.
        mapped: Those of them with a lender.
        lenders: Products that lend.
        copurchase, coview: Lent pairs.
        unsold: Pairs of lenders that lead to nothing that `to` sells.
    """

    name: str
    snapshot: str
    release: str
    stores: tuple[str, ...]
    to: str
    threshold: float
    k: int
    established: int
    products: int
    mapped: int
    lenders: int
    copurchase: int
    coview: int
    unsold: int


def read_transfer(folder: Path) -> Transfer:
    """Read the record of a transfer from its folder.

    Raises:
        StoreError: If it is missing or damaged.
    """
    try:
        record = json.loads((folder / RECORD_FILE).read_text("utf-8"))
        return Transfer(**{**record, "stores": tuple(record["stores"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{folder / RECORD_FILE} cannot be read: {error}", "`twinvec transfer` makes the transfer again"
        ) from error


def transfer_folders(paths: HomePaths) -> list[Path]:
    """Return the folders of all transfers of a home, the oldest first."""
    folders = [each for each in paths.transfers.glob("[0-9a-f]*") if each.is_dir()]
    return sorted(folders, key=lambda each: (each.stat().st_mtime_ns, each.name))


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
