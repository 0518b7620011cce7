"""The row of tables that rank the targets of test edges, and its columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipelines.comparisons.comparison import Column

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """Mean difference between two rows on the same test edges.

    Attributes:
        mean: Mean difference.
        low, high: Its 95% confidence interval, by bootstrap over the edges.
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


@dataclass(frozen=True)
class RankingRow:
    """Ranking and direction figures of one way of ranking, on the test edges.

    Attributes:
        name: Name of the row.
        hits_at_1, hits_at_3, hits_at_5, hits_at_10: Share of targets that rank so high among all products.
        mrr_at_10: Mean of 1 / rank, zero beyond rank 10.
        mrr_low, mrr_high: 95% confidence interval of `mrr_at_10`, by bootstrap over the edges.
        auc_dir: Area under the ROC curve of one-way edges against their reverses; 0.5 is chance.
        auc_dir_calibrated: The same after the calibration of Twinvec's own model; None for rows without vectors.
        right_way: Share of one-way edges that score above their own reverse.
        seconds: Seconds that fitting took.
        over_above: Difference of MRR@10 to the row above; None in the first row.
        over_baseline: Difference of MRR@10 to the best of the other baselines; None without one.
        reciprocal_ranks: 1 / rank of each test edge's target, zero beyond rank 10, float64 [edges].
    """

    name: str
    hits_at_1: float
    hits_at_3: float
    hits_at_5: float
    hits_at_10: float
    mrr_at_10: float
    mrr_low: float
    mrr_high: float
    auc_dir: float
    auc_dir_calibrated: float | None
    right_way: float
    seconds: float
    over_above: Difference | None = None
    over_baseline: Difference | None = None
    reciprocal_ranks: FloatArray | None = field(default=None, repr=False, compare=False)


OVER_ABOVE = Column("over_above", "over the row above", logged=False)
OVER_BASELINE = Column("over_baseline", "over the best baseline", logged=False)
RANKING_COLUMNS = (
    Column("hits_at_1", "Hits@1"),
    Column("hits_at_3", "Hits@3"),
    Column("hits_at_5", "Hits@5"),
    Column("hits_at_10", "Hits@10"),
    Column("mrr_at_10", "MRR@10"),
    Column("mrr_low", "from"),
    Column("mrr_high", "to"),
    OVER_ABOVE,
    Column("auc_dir", "AUC-dir"),
    Column("auc_dir_calibrated", "calibrated"),
    Column("right_way", "right way"),
    Column("seconds", "seconds"),
)
RANKING_SUMMARY = ("mrr_at_10", "hits_at_10", "auc_dir")
