"""Table of the models of `related`: their quality on the same held-out edges, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipelines.comparisons.comparison import Column, Comparison, Request
from pipelines.comparisons.ranking_row import OVER_ABOVE, Difference

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipelines.comparisons.contenders import Contest
    from pipelines.related.fitting import Fitted


@dataclass(frozen=True)
class ModelRow:
    """One model.

    Attributes:
        name: Name of the row.
        mrr_at_10, hits_at_10: Figures of the targets' ranks among all products.
        mrr_low, mrr_high: 95% confidence interval of `mrr_at_10`, by bootstrap over the edges.
        auc_dir: Area under the ROC curve of one-way edges against their reverses; 0.5 is chance.
        epochs: Epochs of training, until the validation edges showed no gain.
        seconds_an_epoch: Seconds of training alone, mean over the epochs.
        seconds: Seconds altogether, preparation and validation included.
        peak_memory_mib: MiB by which memory rose at most; None where the system cannot tell.
        parameters: Number of learned parameters.
        over_above: Difference of MRR@10 to the row above; None in the first row.
        reciprocal_ranks: 1 / rank of each test edge's target, zero beyond rank 10, float64 [edges].
    """

    name: str
    mrr_at_10: float
    mrr_low: float
    mrr_high: float
    hits_at_10: float
    auc_dir: float
    epochs: int
    seconds_an_epoch: float
    seconds: float
    peak_memory_mib: int | None
    parameters: int
    over_above: Difference | None = None
    reciprocal_ranks: npt.NDArray[np.float64] | None = field(default=None, repr=False, compare=False)


def row_names() -> Sequence[str]:
    """Return the names of all models."""
    from pipelines.comparisons.contenders import model_rows

    return [*model_rows()]


def prepare(request: Request) -> Contest:
    """Read the graph and the content; import the sampler, whose import is no cost of the first row."""
    from pipelines.comparisons.contenders import read_contest
    from pipelines.related.models import load_model
    from twinvec.nn.sampling.samplers import make_sampler

    problem, options = read_contest(request), request.settings.related
    relations = load_model(options.recipe).relations(problem.data.graph)
    make_sampler(options.sampler, relations, dict.fromkeys(relations, 1), 1, 0)
    return problem


def fit(problem: Contest, name: str) -> tuple[Fitted, int | None]:
    """Fit a model on the training edges alone; return it with its peak memory in bytes."""
    from functools import partial

    from pipelines.comparisons.contenders import fit_model, model_rows
    from pipelines.comparisons.peak_memory import with_peak_memory
    from twinvec.nn.device import resolve_device

    work = partial(fit_model, problem.data, model_rows()[name], problem.settings)
    return with_peak_memory(work, resolve_device(problem.settings.device))


def judge(problem: Contest, name: str, result: tuple[Fitted, int | None], seconds: float) -> ModelRow:
    """Rank the test edges' targets among all products, and add up the costs."""
    from pipelines.comparisons.judging import judge_ranking
    from twinvec.metrics.scores import DotProducts

    fitted, memory = result
    scores = DotProducts(fitted.source, fitted.target)
    quality = judge_ranking(name, scores, problem.data.graph, seconds, problem.settings)
    return ModelRow(
        name,
        mrr_at_10=quality.mrr_at_10,
        mrr_low=quality.mrr_low,
        mrr_high=quality.mrr_high,
        hits_at_10=quality.hits_at_10,
        auc_dir=quality.auc_dir,
        epochs=len(fitted.history),
        seconds_an_epoch=sum(epoch.seconds for epoch in fitted.history) / len(fitted.history),
        seconds=seconds,
        peak_memory_mib=None if memory is None else round(memory / 2**20),
        parameters=sum(each.numel() for each in fitted.model.parameters()),
        reciprocal_ranks=quality.reciprocal_ranks,
    )


def finish(rows: Sequence[ModelRow]) -> list[ModelRow]:
    """Add the differences to the row above."""
    from pipelines.comparisons.judging import over_row_above

    return over_row_above(rows)


COMPARISON = Comparison(
    name="models",
    title="Models of related on held-out edges (MRR@10 and its differences with 95% intervals)",
    help="Quality and cost of each model of related.",
    columns=(
        Column("mrr_at_10", "MRR@10"),
        Column("mrr_low", "from"),
        Column("mrr_high", "to"),
        OVER_ABOVE,
        Column("hits_at_10", "Hits@10"),
        Column("auc_dir", "AUC-dir"),
        Column("epochs", "epochs"),
        Column("seconds_an_epoch", "s an epoch"),
        Column("seconds", "seconds"),
        Column("peak_memory_mib", "peak MiB"),
        Column("parameters", "parameters"),
    ),
    rows=row_names,
    prepare=prepare,
    fit=fit,
    judge=judge,
    finish=finish,
    summary=("mrr_at_10", "hits_at_10", "auc_dir", "seconds_an_epoch"),
)
