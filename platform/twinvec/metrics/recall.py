"""Recall of held-out pairs, also by how many training pairs their ends have: soft cold start (WAML 1, 3)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
# The rows of WAML's Table 1: name → smallest and largest number of training pairs.
RANGES = {"0": (0, 0), "1_to_3": (1, 3), "4_to_9": (4, 9), "10_or_more": (10, None)}


def recall_by_count(
    ranks: npt.NDArray[np.float64], counts: Mapping[str, IntArray], k: int, unit: str = "offers"
) -> dict[str, float]:
    """Return recall@k of ranked pairs: of all, and by the number of training pairs of each end.

    Args:
        ranks: Rank of each pair's target, from 1, [pairs].
        counts: Name of an end, such as `products` → training pairs of that end of each ranked pair, int64 [pairs].
        k: Number of recommended targets among which a pair is found.
        unit: Word for a pair in the names of the figures.

    Returns:
        `recall_at_<k>` and `recall_at_<k>_<end>_<range>`, with their number of pairs as `<unit>` and
        `<unit>_<end>_<range>`; a range without pairs is left out.

    Example:
        >>> import numpy as np
        >>> figures = recall_by_count(np.array([1.0, 30.0]), {"products": np.array([0, 5])}, k=20)
        >>> figures["recall_at_20"], figures["recall_at_20_products_0"], figures["recall_at_20_products_4_to_9"]
        (0.5, 1.0, 0.0)
    """
    hits = ranks <= k
    name = f"recall_at_{k}"
    figures = {name: float(hits.mean()) if len(hits) else 0.0, unit: float(len(hits))}
    for end, count in counts.items():
        for label, (smallest, largest) in RANGES.items():
            chosen = count >= smallest
            if largest is not None:
                chosen &= count <= largest
            if chosen.any():
                figures[f"{name}_{end}_{label}"] = float(hits[chosen].mean())
                figures[f"{unit}_{end}_{label}"] = float(chosen.sum())
    return figures
