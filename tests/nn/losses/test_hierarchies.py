"""The losses that HRMS is compared with, against loops and the library."""

from __future__ import annotations

import math

import pytest
import torch
from pytorch_metric_learning.losses import MultiSimilarityLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner

from twinvec.nn.losses.hierarchies import HiMulConLoss, OneLevel


def test_himulcon_by_loops() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(11, 4, dtype=torch.float64), dim=1)
    product = torch.randint(0, 4, (11,))
    labels = torch.stack([product, product // 2], dim=1)
    temperature, total = 0.3, 0.0
    for level in range(2):
        losses = []
        for i in range(11):
            others = [j for j in range(11) if j != i]
            positives = [j for j in others if labels[j, level] == labels[i, level]]
            if positives:
                norm = math.log(sum(math.exp(float(vectors[i] @ vectors[j]) / temperature) for j in others))
                ratios = [float(vectors[i] @ vectors[j]) / temperature - norm for j in positives]
                losses.append(-sum(ratios) / len(ratios))
        total += math.exp(1 / (level + 1)) * sum(losses) / len(losses)
    assert HiMulConLoss(2, temperature)(vectors, labels).item() == pytest.approx(total / 2, rel=1e-6)


def test_one_level_reads_its_column_of_the_labels() -> None:
    vectors, labels = torch.randn(17, 4), torch.randint(0, 5, (17, 3))
    loss, miner = MultiSimilarityLoss(), MultiSimilarityMiner()
    for level in range(3):
        expected = loss(vectors, labels[:, level], miner(vectors, labels[:, level]))
        assert OneLevel(loss, miner, level)(vectors, labels) == expected
    assert OneLevel(loss, None, 1)(vectors, labels) == loss(vectors, labels[:, 1])
