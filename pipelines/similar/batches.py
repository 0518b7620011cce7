"""Batches of listings grouped by the lowest level and shuffled at each, so that anchors have positives (2.3)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
BLOCK = 16
"""Listings of a block, about: the most of one family that stay together."""


def with_positives(labels: Ints) -> Ints:
    """Return the listings that share a group with another at the two finest levels, int64.

    Args:
        labels: Groups, finest level first, int64 [n, levels].
    """
    level = labels[:, min(1, labels.shape[1] - 1)]
    _, place, counts = np.unique(level, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[place] > 1)


def grouped(labels: Ints, rows: Ints, batch: int, generator: np.random.Generator) -> Iterator[Ints]:
    """Yield the rows of one epoch in batches of blocks: some products of one family, each with its listings.

    Products are shuffled within their family, listings within their product, and blocks among all. A block has about
    `BLOCK` listings, so that a batch holds many families, however large they are. A last batch of fewer than a quarter
    is joined to the one before.

    Args:
        labels: Groups, finest level first, int64 [n, levels]; coarser ones than the second do not decide the order.
        rows: Rows to take, int64.
        batch: Rows of a batch.
        generator: Source of the shuffles.
    """
    product, family = labels[rows, 0], labels[rows, min(1, labels.shape[1] - 1)]
    names, place = np.unique(product, return_inverse=True)
    order = np.lexsort([generator.permutation(len(rows)), generator.permutation(len(names))[place], family])
    product, family = product[order], family[order]
    at = np.arange(len(rows))
    product_start, family_start = (_starts(each, at) for each in (product, family))
    keys = np.stack([family, (product_start - family_start) // BLOCK, (at - product_start) // BLOCK])
    block = np.cumsum(np.any(np.diff(keys, axis=1, prepend=-1), axis=0)) - 1
    shuffled = generator.permutation(len(rows))[block]
    order = rows[order[np.argsort(shuffled, kind="stable")]]
    ends = np.arange(batch, len(order), batch)
    if len(ends) and len(order) - ends[-1] < batch // 4:
        ends = ends[:-1]
    yield from np.split(order, ends)


def _starts(groups: Ints, at: Ints) -> Ints:
    """Return the place at which the run of each row's group starts, [n]."""
    new = np.diff(groups, prepend=-1) != 0
    return np.maximum.accumulate(np.where(new, at, 0))
