"""Differences between the rows of a table, paired by test edge."""

from __future__ import annotations

import itertools
import json

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from pipelines.command.output import cell, plain
from pipelines.comparisons.judging import over_best_baseline, over_row_above
from pipelines.comparisons.ranking_row import Difference, RankingRow


def row(name: str, reciprocal_ranks: npt.NDArray[np.float64]) -> RankingRow:
    return RankingRow(
        name,
        hits_at_1=0.5,
        hits_at_3=0.5,
        hits_at_5=0.5,
        hits_at_10=0.5,
        mrr_at_10=float(reciprocal_ranks.mean()),
        mrr_low=0.0,
        mrr_high=1.0,
        auc_dir=0.5,
        auc_dir_calibrated=None,
        right_way=0.5,
        seconds=1.0,
        reciprocal_ranks=reciprocal_ranks,
    )


@pytest.fixture
def rows() -> list[RankingRow]:
    """Rows that are good and bad on the same edges; `ours` is a little better on each."""
    random = np.random.default_rng()
    hard = random.choice([0, 0.1, 0.25, 0.5], 2_000)
    noise = random.normal(0, 0.02, (3, 2_000))
    return [
        row("popularity", 0.2 * hard),
        row("als", hard + noise[0]),
        row("ease", hard + 0.01 + noise[1]),
        row("ours", hard + 0.03 + noise[2]),
    ]


def test_each_row_is_compared_with_the_row_above(rows: list[RankingRow]) -> None:
    compared = over_row_above(rows)
    assert compared[0].over_above is None
    for above, below in itertools.pairwise(compared):
        difference = below.over_above
        assert difference is not None
        assert difference.mean == pytest.approx(below.mrr_at_10 - above.mrr_at_10)
        assert above.reciprocal_ranks is not None
        assert below.reciprocal_ranks is not None
        paired = below.reciprocal_ranks - above.reciprocal_ranks
        # Of so many edges, the percentiles of the bootstrap are those of a normal distribution.
        expected = stats.t.interval(0.95, len(paired) - 1, paired.mean(), stats.sem(paired))
        assert (difference.low, difference.high) == pytest.approx(expected, abs=0.4 * stats.sem(paired))
    assert over_row_above(rows) == compared, "the same edges are resampled"


def test_pairs_tell_apart_what_single_intervals_do_not(rows: list[RankingRow]) -> None:
    difference = over_row_above(rows)[-1].over_above
    assert difference is not None
    assert difference.low > 0
    spread = 1.96 * rows[-1].reciprocal_ranks.std() / len(rows[-1].reciprocal_ranks) ** 0.5  # type: ignore[union-attr, arg-type]
    assert difference.high - difference.low < spread, "a third of the interval of a single row"


def test_the_best_baseline_is_the_best_of_the_others(rows: list[RankingRow]) -> None:
    compared = {each.name: each for each in over_best_baseline(rows, {"popularity", "als", "ease"})}
    for name, best in (("popularity", "ease"), ("als", "ease"), ("ease", "als"), ("ours", "ease")):
        difference = compared[name].over_baseline
        assert difference is not None
        assert difference.mean == pytest.approx(compared[name].mrr_at_10 - compared[best].mrr_at_10)
    assert over_best_baseline(rows[-1:], {"als"})[0].over_baseline is None


def test_a_difference_is_printed_with_its_interval_and_ranks_are_not() -> None:
    difference = Difference(0.0123, -0.001, 0.0256)
    assert cell(difference) == "+0.0123 [-0.0010, +0.0256]"
    assert plain(difference) == {"mean": 0.0123, "low": -0.001, "high": 0.0256}
    assert "reciprocal_ranks" not in json.dumps(plain(row("als", np.ones(3))))
