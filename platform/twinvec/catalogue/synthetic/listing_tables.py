"""Writing of the listings of a synthetic store, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from twinvec import columns
from twinvec.catalogue.synthetic import listings as of_listings
from twinvec.catalogue.synthetic.batches import batches
from twinvec.catalogue.synthetic.layout import Layout, row_order
from twinvec.catalogue.synthetic.truth import string_array
from twinvec.draws import Ints


def write_listings(
    folder: Path,
    layout: Layout,
    images: Callable[[Ints], pa.Array],
    progress: Callable[[str], None],
) -> int:
    """Write `listings.parquet` and `truth/listings.parquet`.

    Args:
        folder: Folder of the store, which has a folder `truth`.
        layout: Layout of the store.
        images: Return the image of each row of the products table, null where it has none.
        progress: Called with what is written.

    Returns:
        Number of listings.
    """
    rows = 0
    with (
        pq.ParquetWriter(folder / "listings.parquet", columns.LISTINGS) as file,
        pq.ParquetWriter(folder / "truth" / "listings.parquet", of_listings.TRUTH) as truth_file,
    ):
        for row in batches(layout.size):
            table, truth = of_listings.listings(layout, row_order(layout, row), images(row))
            file.write_table(table)
            truth_file.write_table(truth)
            rows += len(table)
            progress(f"listings: of {row[-1] + 1:,} of {layout.size:,} products")
    return rows


def small_visits(layout: Layout, schema: pa.Schema, orders: bool) -> Iterator[pa.Table]:
    """Yield the orders, or else the views, of the small store; their numbers begin with `M`."""
    for number in batches(of_listings.visit_count(layout)):
        lines = of_listings.visits(layout, number, orders)
        letter = "MO" if orders else "MV"
        owners = pa.array([f"{letter}{owner:09d}" for owner in lines.owner.tolist()])
        ids = string_array(of_listings.small_ids(layout, lines.product))
        times = pa.array(lines.time).cast(pa.timestamp("us", tz="UTC"))
        yield pa.Table.from_arrays([owners, ids, times], schema=schema)
