"""Precision, recall and F1 against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from twinvec.metrics.classification import classification_metrics

NAMES = ["E", "S", "C", "I"]


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_scikit_learn(seed: int) -> None:
    draw = np.random.default_rng(seed)
    true, found = draw.choice(4, 200, p=[0.7, 0.2, 0.09, 0.01]), draw.integers(0, 4, 200)
    figures = classification_metrics(true, found, NAMES)
    labels = range(4)
    expected = precision_recall_fscore_support(true, found, labels=labels, zero_division=0)
    for kind, values in zip(("precision", "recall", "f1"), expected[:3], strict=True):
        np.testing.assert_allclose([figures[f"{kind}_{name}"] for name in NAMES], values)
    assert figures["macro_f1"] == pytest.approx(f1_score(true, found, average="macro", zero_division=0))
    assert figures["micro_f1"] == pytest.approx(f1_score(true, found, average="micro"))


def test_a_class_that_nobody_has_or_finds_is_left_out_of_the_mean() -> None:
    figures = classification_metrics(np.array([0, 1]), np.array([0, 0]), NAMES)
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)
