"""Table of content: what alignment over co-views adds to related products (MERLIN 4.2.4, Table 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.comparisons.comparison import Comparison, Request
from pipelines.comparisons.ranking_row import RANKING_COLUMNS, RANKING_SUMMARY, RankingRow

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    from pipelines.comparisons.contenders import Contest
    from twinvec.metrics.scores import DotProducts

ALIGNED = "aligned"
# Row → spaces whose vectors the model reads side by side.
CONTENTS: Mapping[str, tuple[str, ...]] = {
    "no content": (),
    "text": ("text",),
    "image": ("image",),
    "text and image": ("text", "image"),
}


def row_names() -> Sequence[str]:
    """Return the names of all kinds of content."""
    return (*CONTENTS, ALIGNED)


def prepare(request: Request) -> Contest:
    """Read the graph and the content."""
    from pipelines.comparisons.contenders import read_contest

    return read_contest(request)


def fit(problem: Contest, name: str) -> DotProducts | None:
    """Fit the model of `related.recipe` on one kind of content; None if the snapshot has none of it."""
    from dataclasses import replace

    from pipelines.comparisons.contenders import fit_scores

    data, recipe = problem.data, problem.settings.related.recipe
    if name != ALIGNED:
        spaces = CONTENTS[name]
        if not set(spaces) <= set(data.content):
            return None
        features = side_by_side([data.content[space] for space in spaces], data.graph.products)
        data = replace(data, features=features)
    return fit_scores(data, recipe, problem.settings)


def judge(problem: Contest, name: str, scores: DotProducts, seconds: float) -> RankingRow:
    """Rank the test edges' targets among all products."""
    from pipelines.comparisons.judging import judge_ranking

    return judge_ranking(name, scores, problem.data.graph, seconds, problem.settings)


def finish(rows: Sequence[RankingRow]) -> list[RankingRow]:
    """Add the differences to the row above."""
    from pipelines.comparisons.judging import over_row_above

    return over_row_above(rows)


def side_by_side(parts: Sequence[npt.NDArray[np.float32]], products: int) -> Tensor:
    """Return the vectors of each product and a flag for each, 1 where there is one, float32 [products, Σ (d + 1)].

    Args:
        parts: Vectors of each space, [products, d]; rows of zeros where there is none.
        products: Number of products; without parts, they all have one feature, zero.
    """
    import numpy as np
    import torch

    if not parts:
        return torch.zeros(products, 1)
    present = [part.any(axis=1, keepdims=True).astype(np.float32) for part in parts]
    columns = [column for pair in zip(parts, present, strict=True) for column in pair]
    return torch.from_numpy(np.concatenate(columns, axis=1))


COMPARISON = Comparison(
    name="alignment",
    title="Related products by content (MRR@10 and its differences with 95% intervals)",
    help="Kinds of content, aligned or not (Table 8).",
    columns=RANKING_COLUMNS,
    rows=row_names,
    prepare=prepare,
    fit=fit,
    judge=judge,
    finish=finish,
    summary=RANKING_SUMMARY,
)
