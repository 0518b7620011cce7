"""Batches of listings grouped by the lowest level and shuffled at each, so that anchors have positives (2.3)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from twinvec.metrics.graded import Groups

Ints = npt.NDArray[np.int64]
BLOCK = 16
"""Listings of a block, about: the most of one family that stay together."""


def with_positives(labels: Groups) -> Ints:
    """Return the listings that share a group with another at the two finest levels, int64.

    Args:
        labels: Groups, finest level first, int32 [n, levels].
    """
    level = labels[:, min(1, labels.shape[1] - 1)]
    groups, counts = np.unique(level, return_counts=True)
    return np.flatnonzero(counts[np.searchsorted(groups, level)] > 1)


def grouped(labels: Groups, rows: Ints, batch: int, generator: np.random.Generator) -> Iterator[Ints]:
    """Yield the rows of one epoch in batches of blocks: some products of one family, each with its listings.

    Products are shuffled within their family, listings within their product, and blocks among all. A block has about
    `BLOCK` listings, so that a batch holds many families, however large they are. A last batch of fewer than a quarter
    is joined to the one before.

    Args:
        labels: Groups, finest level first, int32 [n, levels]; coarser ones than the second do not decide the order.
        rows: Rows to take, int64.
        batch: Rows of a batch.
        generator: Source of the shuffles.
    """
    order = rows[_shuffled(labels, rows, generator)]
    ends = np.arange(batch, len(order), batch)
    if len(ends) and len(order) - ends[-1] < batch // 4:
        ends = ends[:-1]
    yield from np.split(order, ends)


def _shuffled(labels: Groups, rows: Ints, generator: np.random.Generator) -> Ints:
    """Return the places of the rows in the order of `grouped`; numbers have 32 bits, since there may be millions."""
    names, place = np.unique(labels[rows, 0], return_inverse=True)
    within = generator.permutation(len(rows)).astype(np.int32)
    product = generator.permutation(len(names)).astype(np.int32)[place]
    del names, place
    family = labels[rows, min(1, labels.shape[1] - 1)]
    order = np.lexsort([within, product, family])
    del within
    product, family = product[order], family[order]
    at = np.arange(len(rows), dtype=np.int32)
    product_start, family_start = _starts(product, at), _starts(family, at)
    new = np.zeros(len(rows), bool)
    for key in (family, (product_start - family_start) // BLOCK, (at - product_start) // BLOCK):
        new |= np.diff(key, prepend=-1) != 0
    del product, family, product_start, family_start, at, key
    block = generator.permutation(len(rows)).astype(np.int32)[np.cumsum(new, dtype=np.int32) - 1]
    return order[np.argsort(block, kind="stable")]


def _starts(groups: npt.NDArray[np.int32], at: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return the place at which the run of each row's group starts, [n]."""
    new = np.diff(groups, prepend=-1) != 0
    return np.maximum.accumulate(np.where(new, at, 0))
