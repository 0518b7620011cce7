"""Co-occurrence counts on this machine or on a cluster, the same row for row."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa

from twinvec.catalogue import partitioned
from twinvec.catalogue.cooccurrence import (
    INSERTED,
    BasketCounts,
    count_cooccurrence,
    create_pairs,
    insert_pairs,
)
from twinvec.engine import Cluster


def count_pairs(
    connection: duckdb.DuckDBPyConnection,
    lines: str,
    names: pa.Array,
    table: str,
    largest: int,
    cluster: Cluster | None,
) -> BasketCounts:
    """Create `table(source, target, count)` of the pairs of items that share baskets; see `count_cooccurrence`.

    Args:
        connection: DuckDB connection that the table is created in.
        lines: Query of `name`, a basket's name that is never NULL, and `item`, a position in `names`.
        names: Names of all items, strings or int64; fewer than 2³¹.
        table: Name of the table.
        largest: Distinct items of the largest basket that makes pairs.
        cluster: Machines that count; None is this one.
    """
    if cluster is None:
        return count_cooccurrence(connection, lines, names, table, largest)
    create_pairs(connection, table, names)
    with cluster.folder() as folder:
        parts = partitioned.split(connection, lines, f"{folder}/lines", cluster.partitions)
        counted = partitioned.count(cluster, folder, parts, largest, partitioned.by_range(len(names)))
        alone = np.zeros(len(names), np.int64)
        with partitioned.connect(folder) as reader:
            for file in counted.files:  # in the order of the lower items
                for batch in reader.sql(f"FROM {partitioned.read([file])}").to_arrow_reader(INSERTED):
                    source, target, count = (batch[name].to_numpy() for name in ("source", "target", "count"))
                    single = source == target
                    alone[source[single]] = count[single]
                    pair = ~single
                    insert_pairs(connection, table, names, source[pair], target[pair], count[pair])
    return BasketCounts(counted.baskets, counted.too_large, alone)
