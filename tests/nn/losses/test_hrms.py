"""HRMS against loops over the paper's equations, and against pytorch-metric-learning's parts at one level."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
from pytorch_metric_learning.losses import MultiSimilarityLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner
from pytorch_metric_learning.reducers import AvgNonZeroReducer, MeanReducer
from torch import Tensor

from twinvec.nn.losses.hrms import LEVELS, Deconflict, EuclideanDistance, HRMSLoss, Level, mine

SHAPES = [(7, 3), (23, 5)]


def tree(items: int) -> Tensor:
    """Return labels of three levels, each group within one group of the level above, [items, 3]."""
    product = torch.randint(0, max(2, items // 2), (items,))
    return torch.stack([product, product // 3, product // 7], dim=1)


def unit(items: int, dimension: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(items, dimension, dtype=torch.float64), dim=1)


def by_loops(
    vectors: Tensor, labels: Tensor, levels: tuple[Level, ...], offset: float, deconflict: Deconflict
) -> float:
    """Return equation 4 over the pairs of equation 2, as the paper writes them."""
    n = len(vectors)
    s = [[-math.dist(vectors[i].tolist(), vectors[j].tolist()) for j in range(n)] for i in range(n)]
    positives, negatives = [], []
    for number, level in enumerate(levels):
        y = labels[:, number].tolist()
        chosen_p, chosen_n = set(), set()
        for i in range(n):
            same = [s[i][k] for k in range(n) if k != i and y[k] == y[i]]
            other = [s[i][k] for k in range(n) if y[k] != y[i]]
            for j in range(n):
                if j != i and y[j] == y[i] and other and s[i][j] < max(other) + level.epsilon:
                    chosen_p.add((i, j))
                if y[j] != y[i] and same and s[i][j] > min(same) - level.epsilon:
                    chosen_n.add((i, j))
        positives.append(chosen_p)
        negatives.append(chosen_n)
    if deconflict == "mined":
        taken = set().union(*positives)
    elif deconflict == "labelled":
        taken = {(i, j) for i in range(n) for j in range(n) if bool((labels[i] == labels[j]).any())}
    else:
        taken = set()
    total = 0.0
    for level, chosen_p, chosen_n in zip(levels, positives, negatives, strict=True):
        kept = chosen_n - taken
        anchors = {i for i, _ in chosen_p | kept}
        for i in anchors:
            p = sum(math.exp(-level.alpha * (s[i][k] - offset)) for a, k in chosen_p if a == i)
            q = sum(math.exp(level.beta * (s[i][k] - offset)) for a, k in kept if a == i)
            of_anchor = math.log(1 + p) / level.alpha + math.log(1 + q) / level.beta
            total += level.weight * of_anchor / len(anchors)
    return total


@pytest.mark.parametrize("deconflict", ["mined", "labelled", "never"])
@pytest.mark.parametrize(("items", "dimension"), SHAPES)
def test_the_loss_is_the_papers_by_loops(items: int, dimension: int, deconflict: Deconflict) -> None:
    vectors, labels = unit(items, dimension), tree(items)
    expected = by_loops(vectors, labels, LEVELS, -0.7, deconflict)
    for distance in (None, LpDistance()):
        loss = HRMSLoss(deconflict=deconflict, distance=distance)
        assert loss(vectors, labels).item() == pytest.approx(expected, rel=1e-6)
    four = (*LEVELS, Level(0.25, 5.0, 0.4, weight=3.0))
    wider = torch.cat([labels, labels[:, 2:] // 2], dim=1)
    expected = by_loops(vectors, wider, four, -0.5, deconflict)
    assert HRMSLoss(four, -0.5, deconflict)(vectors, wider).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("distance", [CosineSimilarity(), LpDistance(), EuclideanDistance()])
def test_one_level_is_multi_similarity(distance: Any) -> None:
    vectors, labels = unit(31, 6).requires_grad_(), torch.randint(0, 9, (31,))
    level, offset = Level(2.0, 10.0, 0.1), 0.4 if distance.is_inverted else -0.9
    pairs = MultiSimilarityMiner(level.epsilon, distance=distance)(vectors, labels)
    library = MultiSimilarityLoss(
        # Its margin turns round for a distance, so that the offset is one, too.
        level.alpha, level.beta, offset if distance.is_inverted else -offset,
        distance=distance, reducer=AvgNonZeroReducer(),
    )  # fmt: skip
    expected = library(vectors, labels, pairs)
    ours = HRMSLoss((level,), offset, distance=distance)
    assert ours(vectors, labels).item() == pytest.approx(expected.item(), abs=1e-6)
    gradients = [torch.autograd.grad(each, vectors)[0] for each in (ours(vectors, labels), expected)]
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=0)
    # The library's default is the mean over all anchors: ours times the share of anchors that have pairs.
    over_all = MultiSimilarityLoss(
        level.alpha, level.beta, library.base, distance=distance, reducer=MeanReducer()
    )
    share = len(set(pairs[0].tolist()) | set(pairs[2].tolist())) / len(vectors)
    assert over_all(vectors, labels, pairs).item() == pytest.approx(expected.item() * share, abs=1e-6)


def test_the_librarys_miners_and_reducers_can_be_used() -> None:
    vectors, labels = unit(29, 4), tree(29)
    miners = [MultiSimilarityMiner(level.epsilon, distance=LpDistance()) for level in LEVELS]
    pairs = [miner(vectors, labels[:, number]) for number, miner in enumerate(miners)]
    for deconflict in get_args(Deconflict):
        expected = HRMSLoss(deconflict=deconflict)(vectors, labels)
        mined = HRMSLoss(deconflict=deconflict, reducer=MeanReducer())
        assert mined(vectors, labels, pairs).item() == pytest.approx(expected.item(), rel=1e-9)
        assert mined(vectors, labels).item() == pytest.approx(expected.item(), rel=1e-9)


def test_no_pair_is_positive_and_negative() -> None:
    vectors, labels = unit(40, 3), tree(40)
    similarity = -torch.cdist(vectors, vectors)
    epsilon = [level.epsilon for level in LEVELS]
    positive, negative = mine(similarity, labels, epsilon)
    assert positive.any(0).any()
    assert negative.any(0).any()
    assert not (positive.any(0) & negative.any(0)).any()
    clashing = mine(similarity, labels, epsilon, "never")
    assert (clashing[0].any(0) & clashing[1].any(0)).any(), "the data have conflicts to take out"


def test_a_batch_without_pairs_has_no_loss_and_a_gradient_of_zero() -> None:
    vectors = torch.randn(4, 3, requires_grad=True)
    alone, together = torch.arange(4)[:, None].expand(4, 3), torch.zeros(4, 3, dtype=torch.long)
    for labels in (alone, together):
        for loss in (HRMSLoss(), HRMSLoss(reducer=MeanReducer())):
            value = loss(vectors, labels)
            (gradient,) = torch.autograd.grad(value, vectors)
            assert value.item() == 0.0
            assert not gradient.any()


def test_the_gradient_is_that_of_differences_and_of_equal_vectors_finite() -> None:
    labels = tree(9)
    vectors = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    loss = HRMSLoss()
    assert torch.autograd.gradcheck(lambda each: loss(each, labels), (vectors,), eps=1e-7, atol=1e-4)
    equal = torch.ones(9, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(equal, labels), equal)
    assert torch.isfinite(gradient).all()


def test_training_ranks_the_same_product_before_the_family_before_the_rest() -> None:
    labels = torch.stack([torch.arange(16) // 2, torch.arange(16) // 4, torch.arange(16) // 8], dim=1)
    vectors = torch.randn(16, 8, requires_grad=True)
    optimiser = torch.optim.Adam([vectors], lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        HRMSLoss()(vectors, labels).backward()
        optimiser.step()
    distance = EuclideanDistance()(vectors.detach())
    depth = (labels[:, None] == labels[None]).sum(2)
    means = [distance[depth == level].mean().item() for level in (2, 1, 0)]
    assert distance[depth == 3].mean().item() < means[0] < means[1] < means[2]


def test_labels_of_another_number_of_levels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"labels are \(4, 2\), not \[4, 3\]"):
        HRMSLoss()(torch.randn(4, 3), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="pairs are of 1 levels, not 3"):
        HRMSLoss()(
            torch.randn(4, 3), torch.zeros(4, 3), [MultiSimilarityMiner()(torch.randn(4, 3), torch.zeros(4))]
        )
