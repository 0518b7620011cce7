"""Precision, recall and F1 of a classification, for each class and averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def confusion(true: Ints, predicted: Ints, classes: int) -> Ints:
    """Return the number of pairs of each true class (row) and predicted class (column), int64 [classes, classes]."""
    return np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def class_scores(counts: Ints) -> tuple[npt.NDArray[np.float64], ...]:
    """Return precision, recall and F1 of each class, float64 [..., classes] each; 0 where a class is missing.

    Args:
        counts: Confusion matrices, int64 [..., classes, classes].
    """
    correct = np.einsum("...ii->...i", counts).astype(np.float64)
    predicted, true = counts.sum(-2), counts.sum(-1)
    precision = correct / np.maximum(predicted, 1)
    recall = correct / np.maximum(true, 1)
    f1 = 2 * correct / np.maximum(predicted + true, 1)
    return precision, recall, f1


def classification_metrics(true: Ints, predicted: Ints, names: Sequence[str]) -> dict[str, float]:
    """Return precision, recall and F1 of each class and their means (macro), and micro-F1.

    Micro-F1 over all classes is the share of correct pairs. A class that no pair truly has counts with an F1 of 0 in
    the macro mean if it is predicted; otherwise it is left out.

    Args:
        true, predicted: Classes as positions in `names`, int64 [n].
        names: Names of the classes.

    Example:
        >>> import numpy as np
        >>> figures = classification_metrics(np.array([0, 0, 1]), np.array([0, 1, 1]), ["E", "S"])
        >>> round(figures["f1_E"], 3), figures["recall_E"], round(figures["macro_f1"], 3)
        (0.667, 0.5, 0.667)
    """
    counts = confusion(true, predicted, len(names))
    there = (counts.sum(0) + counts.sum(1)) > 0
    figures: dict[str, float] = {}
    for kind, values in zip(("precision", "recall", "f1"), class_scores(counts), strict=True):
        figures |= {f"{kind}_{name}": float(value) for name, value in zip(names, values, strict=True)}
        figures[f"macro_{kind}"] = float(values[there].mean()) if there.any() else 0.0
    return {**figures, "micro_f1": float(np.mean(true == predicted)) if len(true) else 0.0}
