"""Table of related products: models and baselines on the same held-out edges (MERLIN 4.2.1, Tables 2 and 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.comparisons.comparison import Comparison, Request
from pipelines.comparisons.ranking_row import OVER_BASELINE, RANKING_COLUMNS, RANKING_SUMMARY, RankingRow

if TYPE_CHECKING:
    from pipelines.comparisons.contenders import Contest
    from twinvec.metrics.scores import Scores


def row_names() -> Sequence[str]:
    """Return the names of all baselines, then those of all models."""
    from pipelines.comparisons.contenders import contender_names

    return contender_names()


def prepare(request: Request) -> Contest:
    """Read the graph and the content."""
    from pipelines.comparisons.contenders import read_contest

    return read_contest(request)


def fit(problem: Contest, name: str) -> Scores | None:
    """Fit a baseline or a model on the training edges alone."""
    from pipelines.comparisons.contenders import fit_contender

    return fit_contender(problem, name)


def judge(problem: Contest, name: str, scores: Scores, seconds: float) -> RankingRow:
    """Rank the test edges' targets among all products."""
    from pipelines.comparisons.judging import judge_ranking

    return judge_ranking(name, scores, problem.data.graph, seconds, problem.settings)


def finish(rows: Sequence[RankingRow]) -> list[RankingRow]:
    """Add the differences to the row above and to the best baseline."""
    from pipelines.baselines.registry import baselines
    from pipelines.comparisons.data import CONTENT_SPACES
    from pipelines.comparisons.judging import over_best_baseline, over_row_above

    return over_best_baseline(over_row_above(rows), baselines(CONTENT_SPACES))


COMPARISON = Comparison(
    name="related",
    title="Related products on held-out edges (MRR@10 and its differences with 95% intervals)",
    help="Related products that models and baselines find (Tables 2 and 3).",
    columns=(*RANKING_COLUMNS, OVER_BASELINE),
    rows=row_names,
    prepare=prepare,
    fit=fit,
    judge=judge,
    finish=finish,
    summary=RANKING_SUMMARY,
    extra="baselines",
)
