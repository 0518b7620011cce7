"""The sampled softmax: the loss against the plain cross-entropy, the sample against its chances."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn import functional

from twinvec.nn.losses.positives import Positives
from twinvec.nn.losses.softmax import SoftmaxObjective, sampled_softmax_loss


def random_positives(products: int, entries: int, seed: int) -> Positives:
    """Rows of random weights that sum to one, none on the diagonal; every fifth row is empty."""
    random = np.random.default_rng(seed)
    dense = np.zeros((products, products), np.float32)
    for row in range(products):
        if row % 5 != 4:
            columns = random.choice(np.delete(np.arange(products), row), entries, replace=False)
            dense[row, columns] = random.dirichlet(np.ones(entries))
    return Positives(sp.csr_array(dense))


NOBODY = torch.tensor([-1])


def test_all_candidates_are_the_plain_cross_entropy() -> None:
    scores, positives = torch.randn(6, 11), torch.randint(11, (6, 3))
    loss = sampled_softmax_loss(scores, positives, torch.zeros(11), NOBODY.expand(6))
    expected = functional.cross_entropy(scores.repeat_interleave(3, 0), positives.flatten())
    torch.testing.assert_close(loss, expected)


def test_a_product_is_not_its_own_candidate() -> None:
    scores, positives = torch.randn(3, 5), torch.tensor([[0], [4], [2]])
    own = torch.tensor([1, 0, -1])
    found = sampled_softmax_loss(scores, positives, torch.zeros(5), own)
    rows = []
    for row in range(3):
        kept = [column for column in range(5) if column != own[row]]
        rows.append(float(torch.logsumexp(scores[row, kept], 0) - scores[row, positives[row, 0]]))
    assert found.item() == pytest.approx(np.mean(rows), rel=1e-6)


def test_correction_by_hand() -> None:
    # Odds 1 : 6 : 2 over chances ½, ½, 1 are 2 : 12 : 2, so that the shares are ⅛, ¾, ⅛.
    scores = torch.tensor([[1.0, 6.0, 2.0]]).log()
    log_chance = torch.tensor([0.5, 0.5, 1.0]).log()
    found = sampled_softmax_loss(scores, torch.tensor([[0, 1]]), log_chance, NOBODY)
    assert found.item() == pytest.approx(-(np.log(1 / 8) + np.log(3 / 4)) / 2)


def full_loss(positives: Positives, vectors: Tensor) -> Tensor:
    """Mean over sources of Σ_v p(v) (log Σ_{z ≠ u} exp(s_u·t_z) − s_u·t_v), over the whole catalogue."""
    products = positives.matrix.shape[0]
    chance = torch.from_numpy(positives.matrix.toarray())
    scores = vectors[:products] @ vectors[products:].T
    logs = scores.masked_fill(torch.eye(products, dtype=torch.bool), -torch.inf).log_softmax(1)
    rows = positives.sources()
    return -torch.where(chance > 0, chance * logs, 0.0)[rows].sum(1).mean()


def popular(positives: Positives, products: int, times: float) -> Positives:
    """The same with the first products this many times as likely, so that chances differ widely."""
    dense = positives.matrix.toarray()
    dense[:, :products] *= times
    return Positives(sp.csr_array((dense / dense.sum(1, keepdims=True).clip(1e-9)).astype(np.float32)))


@pytest.mark.parametrize("candidates", [200, 599, 600])
def test_value_and_gradient_estimate_the_full_softmax(candidates: int) -> None:
    products = 600
    positives = popular(random_positives(products, 60, seed=7), 30, times=20)
    of = SoftmaxObjective(positives, draws=2, candidates=candidates, batch=64)
    vectors = (0.4 * torch.randn(2 * products, 8)).requires_grad_()
    expected = full_loss(positives, vectors)
    (slope,) = torch.autograd.grad(expected, vectors)
    total, slopes, sources, generator = 0.0, torch.zeros_like(vectors), 0, np.random.default_rng(8)
    for _ in range(60):
        for batch in of.batches(generator):
            # The chance of the positive itself is in the loss, too: a constant, which has no gradient.
            loss = batch.loss(vectors[batch.seeds]) - batch.log_chance[batch.positives].mean()
            slopes += torch.autograd.grad(loss * batch.sources, vectors)[0]
            total += loss.item() * batch.sources
            sources += batch.sources
    assert total / sources == pytest.approx(expected.item(), rel=0.005)
    # What is left is the noise of 120 positives drawn a source.
    assert functional.cosine_similarity((slopes / sources).flatten(), slope.flatten(), dim=0) > 0.95


def test_chances_are_how_often_products_are_candidates() -> None:
    products, epochs = 150, 1500
    positives = popular(random_positives(products, 30, seed=3), 8, times=12)
    of = SoftmaxObjective(positives, draws=1, candidates=30, batch=products)
    present, chance, generator = np.zeros(products), np.zeros(products), np.random.default_rng(4)
    for _ in range(epochs):
        (batch,) = of.batches(generator)
        candidates = (batch.seeds[batch.sources :] - products).numpy()
        present[candidates] += 1
        chance[candidates] = batch.log_chance.exp().numpy()
    share = present / epochs
    assert share.min() < 0.5 < 0.95 < share.max()
    # Three deviations of a share are up to .04; independence of the draws is an approximation, too.
    np.testing.assert_allclose(chance, share, atol=0.06)


@pytest.mark.parametrize("candidates", [20, 500])
def test_what_a_batch_holds(candidates: int) -> None:
    products = 101
    positives = random_positives(products, 6, seed=5)
    of = SoftmaxObjective(positives, draws=3, candidates=candidates, batch=17)
    dense = positives.matrix.toarray()
    seen: list[int] = []
    for batch in of.batches(np.random.default_rng(6)):
        sources = batch.seeds[: batch.sources]
        targets = batch.seeds[batch.sources :] - products
        seen += sources.tolist()
        assert len(batch.seeds.unique()) == len(batch.seeds)  # type: ignore[no-untyped-call]
        assert bool((sources < products).all() & (targets >= 0).all())
        assert batch.positives.shape == (batch.sources, 3)
        # The positions of the positives are positives of their source, and its own position is itself.
        assert (dense[sources.unsqueeze(1), targets[batch.positives]] > 0).all()
        for source, own in zip(sources.tolist(), batch.own.tolist(), strict=True):
            assert targets[own] == source if own >= 0 else source not in targets.tolist()
        if candidates >= products:
            assert torch.equal(targets, torch.arange(products))
            assert not batch.log_chance.any()
        else:
            assert len(targets) <= 17 * 3 + candidates
            assert (batch.log_chance < 0).all()
    assert sorted(seen) == positives.sources().tolist()


def test_with_all_candidates_the_loss_is_that_of_the_drawn_positives() -> None:
    positives = random_positives(23, 4, seed=9)
    vectors = torch.randn(46, 5)
    for batch in SoftmaxObjective(positives, 2, candidates=23, batch=7).batches(np.random.default_rng(1)):
        logs = []
        for row, source in enumerate(batch.seeds[: batch.sources].tolist()):
            others = [23 + product for product in range(23) if product != source]
            whole = torch.logsumexp(vectors[others] @ vectors[source], 0)
            chosen = vectors[batch.seeds[batch.sources + batch.positives[row]]]
            logs += (chosen @ vectors[source] - whole).tolist()
        assert batch.loss(vectors[batch.seeds]).item() == pytest.approx(-np.mean(logs), rel=1e-5)


def test_batches_are_repeated_by_the_seed() -> None:
    of = SoftmaxObjective(random_positives(60, 5, seed=2), 2, candidates=10, batch=16)
    one, again, other = ([batch.seeds for batch in of.batches(np.random.default_rng(s))] for s in (1, 1, 2))
    assert all(map(torch.equal, one, again))
    assert not torch.equal(one[0], other[0])
    assert all(not torch.equal(a, b) for a, b in pairwise(one))
