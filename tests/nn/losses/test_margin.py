"""The margin loss by hand and by loops, and what its batches hold."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from twinvec.nn.losses.margin import MarginBatch, MarginObjective, margin_loss


def test_loss_by_hand() -> None:
    source = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    target = torch.tensor([[0.5, 9.0], [1.0, 1.5]])
    negatives = torch.tensor([[[0.2, 5.0], [-2.0, 1.0]], [[7.0, 2.0], [1.0, 1.0]]])
    # Pair 1: s·t = .5;  negatives .2 and −2: max(0, 1 − .5 + .2) = .7 and max(0, 1 − .5 − 2) = 0.
    # Pair 2: s·t = 3;   negatives 4 and 2:   max(0, 1 − 3 + 4) = 2   and max(0, 1 − 3 + 2) = 0.
    assert margin_loss(source, target, negatives, 1.0).item() == pytest.approx((0.7 + 0 + 2 + 0) / 4)


def test_loss_by_loops() -> None:
    source, target, negatives = torch.randn(7, 5), torch.randn(7, 5), torch.randn(7, 3, 5)
    hinges = [
        max(0.0, 0.8 - float(source[i] @ target[i]) + float(source[i] @ negatives[i, j]))
        for i in range(7)
        for j in range(3)
    ]
    assert margin_loss(source, target, negatives, 0.8).item() == pytest.approx(np.mean(hinges), rel=1e-5)


def test_a_step_along_the_gradient_separates() -> None:
    source = torch.randn(4, 6, requires_grad=True)
    target, negatives = torch.randn(4, 6), torch.randn(4, 2, 6)
    loss = margin_loss(source, target, negatives, 3.0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert source.grad is not None
    assert margin_loss(source - 0.01 * source.grad, target, negatives, 3.0) < loss


def objective(edges: int, products: int, offset: int, batch: int = 10, pool: int = 5) -> MarginObjective:
    random = np.random.default_rng(edges)
    pairs = torch.from_numpy(random.permutation(products * products)[:edges])
    return MarginObjective(
        pairs // products,
        pairs % products,
        products,
        offset,
        negatives=3,
        pool=pool,
        margin=1.0,
        batch=batch,
    )


def ends(batch: MarginBatch) -> list[tuple[int, int]]:
    return list(zip(batch.seeds[batch.source].tolist(), batch.seeds[batch.target].tolist(), strict=True))


@pytest.mark.parametrize("offset", [0, 13])
def test_every_edge_once_an_epoch(offset: int) -> None:
    of = objective(edges=57, products=13, offset=offset)
    generator = np.random.default_rng(1)
    epochs = [list(of.batches(generator)) for _ in range(2)]
    expected = Counter(zip(of.source.tolist(), (of.target + offset).tolist(), strict=True))
    for batches in epochs:
        assert [len(batch.source) for batch in batches] == [10] * 5 + [7]
        assert Counter(pair for batch in batches for pair in ends(batch)) == expected
    assert ends(epochs[0][0]) != ends(epochs[1][0]), "the order is the same in each epoch"


@pytest.mark.parametrize(("offset", "pool"), [(0, 4), (13, 4), (13, 13), (13, 99)])
def test_negatives_are_all_products_but_the_source_alike(offset: int, pool: int) -> None:
    of = objective(edges=60, products=13, offset=offset, batch=25, pool=pool)
    generator = np.random.default_rng(2)
    drawn: Counter[tuple[int, int]] = Counter()
    for _ in range(600):
        for batch in of.batches(generator):
            assert len(batch.negatives.unique()) <= pool  # type: ignore[no-untyped-call]
            assert batch.negatives.shape == (len(batch.source), 3)
            assert torch.equal(batch.seeds, batch.seeds.unique())  # type: ignore[no-untyped-call]
            sources = batch.seeds[batch.source]
            negatives = batch.seeds[batch.negatives] - offset
            assert bool(((negatives >= 0) & (negatives < 13) & (negatives != sources.unsqueeze(1))).all())
            # One of each batch: the others are of the same pool, and so not independent of it.
            drawn[int(sources[0]), int(negatives[0, 0])] += 1
    for source in set(of.source.tolist()):
        counts = [drawn[source, product] for product in range(13) if product != source]
        expected = sum(counts) / 12
        # χ² with 11 degrees of freedom: 31 is passed once in a thousand, and there are 13 sources.
        assert sum((count - expected) ** 2 / expected for count in counts) < 40


def test_the_loss_of_a_batch_is_that_of_its_nodes() -> None:
    of = objective(edges=20, products=9, offset=9, batch=20)
    (batch,) = of.batches(np.random.default_rng(3))
    everything = torch.randn(18, 4)
    source, target = (batch.seeds[place] for place in (batch.source, batch.target))
    negatives = everything[batch.seeds[batch.negatives]]
    expected = margin_loss(everything[source], everything[target], negatives, 1.0)
    assert batch.loss(everything[batch.seeds]) == expected
    assert bool((source < 9).all() & (target >= 9).all() & (batch.seeds[batch.negatives] >= 9).all())


def test_batches_are_repeated_by_the_seed() -> None:
    of = objective(edges=30, products=11, offset=11)
    one, again, other = (list(of.batches(np.random.default_rng(seed))) for seed in (5, 5, 6))
    assert all(torch.equal(a.seeds, b.seeds) and ends(a) == ends(b) for a, b in zip(one, again, strict=True))
    assert any(ends(a) != ends(b) for a, b in zip(one, other, strict=True))
