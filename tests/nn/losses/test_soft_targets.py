"""The softmax against a distribution: the loss against the plain cross-entropy, the sample against the catalogue."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn import functional

from twinvec.nn.losses.positives import Positives
from twinvec.nn.losses.soft_targets import SoftTargetObjective, soft_target_loss


def random_positives(products: int, entries: int, seed: int) -> Positives:
    """Rows of random weights that sum to one, none on the diagonal; every fifth row is empty, some products popular."""
    random = np.random.default_rng(seed)
    dense = np.zeros((products, products), np.float32)
    popularity = np.where(np.arange(products) < products / 20, 20.0, 1.0)
    for row in range(products):
        if row % 5 != 4:
            chance = popularity * (np.arange(products) != row)
            columns = random.choice(products, entries, replace=False, p=chance / chance.sum())
            dense[row, columns] = random.dirichlet(np.ones(entries))
    return Positives(sp.csr_array(dense))


def full_loss(positives: Positives, vectors: Tensor) -> Tensor:
    """Mean over sources of −Σ_v p(v) log softmax_v over the whole catalogue without the source."""
    products = positives.matrix.shape[0]
    chance = torch.from_numpy(positives.matrix.toarray())
    scores = vectors[:products] @ vectors[products:].T
    logs = scores.masked_fill(torch.eye(products, dtype=torch.bool), -torch.inf).log_softmax(1)
    return -torch.where(chance > 0, chance * logs, 0.0)[positives.sources()].sum(1).mean()


def test_all_candidates_are_the_plain_cross_entropy() -> None:
    scores, target = torch.randn(6, 11), torch.rand(6, 11)
    target /= target.sum(1, keepdim=True)
    loss = soft_target_loss(scores, target, torch.ones(11), torch.full((6,), -1))
    torch.testing.assert_close(loss, functional.cross_entropy(scores, target))


def test_with_all_candidates_batches_add_up_to_the_full_loss() -> None:
    positives = random_positives(83, 7, seed=1)
    vectors = torch.randn(2 * 83, 6)
    total, sources = 0.0, 0
    for batch in SoftTargetObjective(positives, candidates=83, batch=17).batches(np.random.default_rng(0)):
        total += batch.loss(vectors[batch.seeds]).item() * batch.sources
        sources += batch.sources
    assert total / sources == pytest.approx(full_loss(positives, vectors).item(), rel=1e-5)


@pytest.mark.parametrize("candidates", [150, 599])
def test_the_gradient_estimates_that_of_the_full_softmax(candidates: int) -> None:
    products = 600
    positives = random_positives(products, 60, seed=7)
    objective = SoftTargetObjective(positives, candidates, batch=64)
    vectors = (0.4 * torch.randn(2 * products, 8)).requires_grad_()
    (slope,) = torch.autograd.grad(full_loss(positives, vectors), vectors)
    slopes, sources, generator = torch.zeros_like(vectors), 0, np.random.default_rng(8)
    for _ in range(60):
        for batch in objective.batches(generator):
            loss = batch.loss(vectors[batch.seeds])
            slopes += torch.autograd.grad(loss * batch.sources, vectors)[0]
            sources += batch.sources
    estimate = (slopes / sources).flatten()
    assert functional.cosine_similarity(estimate, slope.flatten(), dim=0) > 0.95
    assert estimate.norm().item() == pytest.approx(slope.norm().item(), rel=0.15)


def test_the_chance_in_the_sample_is_that_of_steps_with_the_source() -> None:
    """The share of the steps with source 0 that hold a candidate, against 1 − (1 − q)(1 − p)."""
    products, epochs = 120, 500
    positives = random_positives(products, 4, seed=3)
    objective = SoftTargetObjective(positives, candidates=6, batch=32)
    dense = positives.matrix.toarray()
    present, chance = np.zeros(products), np.zeros(products)
    generator = np.random.default_rng(4)
    for _ in range(epochs):
        for batch in objective.batches(generator):
            if 0 in batch.seeds[: batch.sources]:
                candidates = (batch.seeds[batch.sources :] - products).numpy()
                present[candidates] += 1
                chance[candidates] = batch.chance.numpy()
                break
    share = present / epochs
    expected = 1 - (1 - chance) * (1 - dense[0])
    assert share.min() < 0.2 < 0.5 < share.max()
    np.testing.assert_allclose(share, expected, atol=0.1)


@pytest.mark.parametrize("candidates", [20, 500])
def test_what_a_batch_holds(candidates: int) -> None:
    products = 101
    positives = random_positives(products, 6, seed=5)
    dense = positives.matrix.toarray()
    seen: list[int] = []
    for batch in SoftTargetObjective(positives, candidates, batch=17).batches(np.random.default_rng(6)):
        sources = batch.seeds[: batch.sources]
        targets = batch.seeds[batch.sources :] - products
        seen += sources.tolist()
        assert len(batch.seeds.unique()) == len(batch.seeds)  # type: ignore[no-untyped-call]
        np.testing.assert_array_equal(batch.target, dense[sources.numpy()][:, targets.numpy()])
        assert bool((batch.target.sum(1) > 0).all()), "a source has none of its products among the candidates"
        for source, own in zip(sources.tolist(), batch.own.tolist(), strict=True):
            assert targets[own] == source if own >= 0 else source not in targets.tolist()
        if candidates >= products:
            assert torch.equal(targets, torch.arange(products))
            assert bool((batch.chance == 1).all())
        else:
            assert len(targets) <= 17 + candidates
            assert bool((batch.chance < 1).all())
    assert sorted(seen) == positives.sources().tolist()
