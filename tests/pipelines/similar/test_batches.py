"""Batches: every row once, groups together, other batches in the next epoch."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.similar.batches import grouped, with_positives


def groups(listings: int, products: int, family: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    product = np.random.default_rng().integers(0, products, listings)
    return np.stack([product, product // family, product // (2 * family)], axis=1)


@pytest.mark.parametrize(("listings", "products", "family"), [(97, 30, 3), (400, 5, 5), (64, 64, 1)])
def test_an_epoch_has_every_row_once(listings: int, products: int, family: int) -> None:
    labels, rows = (
        groups(listings, products, family),
        np.random.default_rng().permutation(listings)[: listings // 2],
    )
    batches = list(grouped(labels, rows, 16, np.random.default_rng(0)))
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.sort(rows))
    assert all(len(batch) >= min(4, len(rows)) for batch in batches)
    again = list(grouped(labels, rows, 16, np.random.default_rng(1)))
    assert any(set(one) != set(other) for one, other in zip(batches, again, strict=True))


def test_nearly_every_anchor_has_a_positive_and_a_batch_has_many_families() -> None:
    # Products of four listings, and families of forty products.
    product = np.repeat(np.arange(400), 4)
    labels = np.stack([product, product // 40, product // 200], axis=1)
    for batch in grouped(labels, np.arange(len(labels)), 128, np.random.default_rng()):
        _, place, counts = np.unique(labels[batch, 0], return_inverse=True, return_counts=True)
        assert (counts[place] > 1).mean() > 0.95
        assert len(np.unique(labels[batch, 1])) >= 2


def test_listings_without_another_of_their_family_are_left_out() -> None:
    labels = np.array([[0, 0, 0], [0, 0, 0], [1, 1, 0], [2, 2, 0], [3, 2, 0]])
    np.testing.assert_array_equal(with_positives(labels), [0, 1, 3, 4])
    np.testing.assert_array_equal(with_positives(labels[:, :1]), [0, 1])
