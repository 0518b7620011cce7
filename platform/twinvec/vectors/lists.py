"""Lists of related products, read from the files of a version in the memory of what is asked."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from twinvec.errors import StoreError

FOLDER = "lists"
PRODUCTS, TARGETS, SCORES = "products.arrow", "targets.npy", "scores.npy"
NONE = -1

FloatArray = npt.NDArray[np.float32]
RowArray = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Lists:
    """Lists of all n products of a version; the files are mapped, not read.

    Attributes:
        product_ids: Ids of the products, sorted, strings [n].
        marketplaces: Marketplace of each product, dictionary of strings [n].
        targets: Rows of the products related to each, best first, −1 beyond the last, int32 [n, length].
        scores: Their scores, float32 [n, length].
    """

    product_ids: pa.StringArray
    marketplaces: pa.DictionaryArray
    targets: RowArray
    scores: FloatArray

    def row(self, product_id: str) -> int | None:
        """Return the row of a product, or None if there is no such product."""
        place = bisect.bisect_left(_Keys(self.product_ids), product_id)
        same = place < len(self.product_ids) and self.product_ids[place].as_py() == product_id
        return place if same else None

    def best(self, product_ids: Sequence[str], most: int) -> npt.NDArray[np.str_]:
        """Return the ids of the first entries of some lists, [products, most]; empty where there are fewer."""
        rows = [self.row(product_id) for product_id in product_ids]
        answers = np.full((len(rows), most), "", dtype=object)
        for place, row in enumerate(rows):
            if row is not None:
                targets = self.targets[row, :most]
                targets = targets[targets != NONE]
                answers[place, : len(targets)] = self.product_ids.take(pa.array(targets)).to_pylist()
        return answers.astype(np.str_)

    @cached_property
    def markets(self) -> tuple[list[str], npt.NDArray[np.int32]]:
        """Names of the marketplaces, and the number of each product's, int32 [n]."""
        return self.marketplaces.dictionary.to_pylist(), self.marketplaces.indices.to_numpy()

    def pair(self, row: int) -> tuple[str, str]:
        """Return the marketplace and the id of the product of a row."""
        names, codes = self.markets
        return names[codes[row]], self.product_ids[row].as_py()


class _Keys(Sequence[str]):
    """Strings of an Arrow array as `bisect` reads them."""

    def __init__(self, values: pa.StringArray) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, place: int) -> str:  # type: ignore[override]
        value: str = self._values[place].as_py()
        return value


def write_lists(folder: Path, lists: Lists) -> None:
    """Write lists into the new folder of a version."""
    target = folder / FOLDER
    target.mkdir()
    table = pa.table({"product_id": lists.product_ids, "marketplace": lists.marketplaces})
    with pa.OSFile(str(target / PRODUCTS), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    np.save(target / TARGETS, lists.targets)
    np.save(target / SCORES, lists.scores)


def open_lists(folder: Path) -> Lists:
    """Open the lists in the folder of a version.

    Raises:
        StoreError: if they are not there.
    """
    source = folder / FOLDER
    try:
        table = pa.ipc.open_file(pa.memory_map(str(source / PRODUCTS))).read_all().combine_chunks()
        targets, scores = (np.load(source / name, mmap_mode="r") for name in (TARGETS, SCORES))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreError(
            f"the lists in {source}, which the live release answers from, cannot be read: {error}",
            "bring the folder back from a backup, or make a release anew: `twinvec run --force`",
        ) from error
    return Lists(
        table["product_id"].chunk(0) if table.num_rows else pa.array([], pa.string()),
        table["marketplace"].chunk(0).cast(pa.dictionary(pa.int32(), pa.string())),
        targets,
        scores,
    )
