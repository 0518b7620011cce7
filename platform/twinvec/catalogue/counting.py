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
    """Create `table(source, target, count)` of the pairs of items that share baskets.

    Args:
        connection, lines, names, table, largest: As in `count_cooccurrence`.
        cluster: Machines that count; None is this one.
    """
    if cluster is None:
        return count_cooccurrence(connection, lines, names, table, largest)
    create_pairs(connection, table, names)
    with cluster.folder() as folder:
        parts = partitioned.split(connection, lines, f"{folder}/lines", cluster.partitions)
        counted = partitioned.count(cluster, folder, parts, largest, len(names))
        alone = np.zeros(len(names), np.int64)
        for batch in partitioned.batches(counted.files, INSERTED):  # in the order of the lower items
            source, target, count = (column.to_numpy() for column in batch.columns)
            single = source == target
            alone[source[single]] = count[single]
            pair = ~single
            insert_pairs(connection, table, names, source[pair], target[pair], count[pair])
    return BasketCounts(counted.baskets, counted.too_large, alone)
