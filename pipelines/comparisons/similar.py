"""Table of the losses of `similar`: HRMS and others on the same listings and encoders (ProductSIM 5, Table 1).

Three more rows, if they are asked for, train the text encoder, the image encoder or both by HRMS along with the fusion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipelines.comparisons.comparison import Column, Comparison, Request
from pipelines.comparisons.ranking_row import Difference
from twinvec.errors import CatalogueError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

    from pipelines.similar.encoding import Content
    from pipelines.similar.evaluation import Division
    from pipelines.similar.listings import Labels
    from twinvec.catalogue.snapshot import Snapshot
    from twinvec.metrics.graded import Groups
    from twinvec.progress import Progress
    from twinvec.settings import Settings

    Values = Mapping[str, npt.NDArray[np.float64]]

SEEDS = 5
RESAMPLES = 2000
HRMS, FROZEN, REFERENCE = "HRMS", "frozen encoders", "multi-similarity"
# Rows that train encoders → what `similar.tune` trains.
TUNED = {
    "HRMS, text encoder trained": "text",
    "HRMS, image encoder trained": "image",
    "HRMS, both encoders trained": "both",
}
FIGURES = ("recall", "ndcg", "exact_recall")


@dataclass(frozen=True)
class SimilarRow:
    """One loss: means over seeds, and differences to multi-similarity.

    Attributes:
        name: Name of the loss.
        recall, ndcg, exact_recall: Mean over test listings and seeds, at `similar.k`.
        recall_sd, ndcg_sd, exact_sd: Standard deviation over seeds.
        recall_over, ndcg_over, exact_over: Difference to the row of multi-similarity, with a 95% interval by a
            bootstrap of families and seeds, paired by test listing.
        seconds: Seconds of all seeds.
        values: Figure → values of each seed and test listing, [seeds, listings], NaN where there is nothing to find.
        families: Family of each test listing, [listings].
    """

    name: str
    recall: float
    recall_sd: float
    ndcg: float
    ndcg_sd: float
    exact_recall: float
    exact_sd: float
    seconds: float
    values: Values
    families: Groups
    recall_over: Difference | None = None
    ndcg_over: Difference | None = None
    exact_over: Difference | None = None


@dataclass(frozen=True)
class SimilarProblem:
    """The problem that all losses share: frozen vectors, groups, and held-out families.

    `progress` is called with what is being done.
    """

    snapshot: Snapshot
    content: Content
    labels: Labels
    division: Division
    settings: Settings
    device: torch.device
    progress: Progress

    @property
    def groups(self) -> Groups:
        """Groups at the levels of the settings, int32 [n, levels]."""
        return self.labels.matrix(self.settings.similar.loss.levels)


def losses() -> dict[str, Callable[[SimilarProblem], Any]]:
    """Return name → a function that makes the loss."""
    return {
        HRMS: _hrms,
        REFERENCE: _multi_similarity,
        "multi-similarity of families": lambda problem: _multi_similarity(problem, level=1),
        "easy-positive triplets": _easy_positives,
        "supervised contrastive": _contrastive,
        "Proxy-NCA": _proxies,
        "HiMulCon": _himulcon,
    }


def _hrms(problem: SimilarProblem) -> nn.Module:
    from pipelines.similar.fitting import make_hrms

    return make_hrms(problem.settings.similar.loss)


def _multi_similarity(_problem: SimilarProblem, level: int = 0) -> nn.Module:
    from pytorch_metric_learning.losses import MultiSimilarityLoss
    from pytorch_metric_learning.miners import MultiSimilarityMiner

    from twinvec.nn.losses.hierarchies import OneLevel

    return OneLevel(MultiSimilarityLoss(), MultiSimilarityMiner(), level)


def _easy_positives(_problem: SimilarProblem) -> nn.Module:
    from pytorch_metric_learning.losses import TripletMarginLoss
    from pytorch_metric_learning.miners import BatchEasyHardMiner

    from twinvec.nn.losses.hierarchies import OneLevel

    miner = BatchEasyHardMiner(BatchEasyHardMiner.EASY, BatchEasyHardMiner.SEMIHARD)
    return OneLevel(TripletMarginLoss(margin=0.2), miner)


def _contrastive(_problem: SimilarProblem) -> nn.Module:
    from pytorch_metric_learning.losses import SupConLoss

    from twinvec.nn.losses.hierarchies import OneLevel

    return OneLevel(SupConLoss(0.1))


def _proxies(problem: SimilarProblem) -> nn.Module:
    from pytorch_metric_learning.losses import ProxyNCALoss

    from twinvec.nn.losses.hierarchies import OneLevel

    products = int(problem.groups[:, 0].max()) + 1
    return OneLevel(ProxyNCALoss(products, problem.settings.similar.dimension, softmax_scale=8))


def _himulcon(problem: SimilarProblem) -> nn.Module:
    from twinvec.nn.losses.hierarchies import HiMulConLoss

    return HiMulConLoss(problem.groups.shape[1])


def row_names() -> Sequence[str]:
    """Return the names of the rows with frozen encoders."""
    return (FROZEN, *losses())


def prepare(request: Request) -> SimilarProblem:
    """Encode the listings once, and divide their families.

    Raises:
        CatalogueError: If the snapshot has no groups of listings, or none of them is held out.
    """
    from pipelines.similar.encoding import encode, load_encoders
    from pipelines.similar.evaluation import divide
    from pipelines.similar.listings import read_labels, reason_to_skip
    from twinvec.nn.device import resolve_device

    snapshot, settings = request.snapshot, request.settings
    if (reason := reason_to_skip(snapshot, settings)) is not None:
        raise CatalogueError(
            f"snapshot {snapshot.id}: {reason}", "ingest a source with listings of several families"
        )
    labels = read_labels(snapshot, settings.seed, settings.ingest.memory_limit)
    division = divide(labels, settings.similar)
    if len(division.test) < 2:
        raise CatalogueError(f"snapshot {snapshot.id} has no held-out families", "ingest a larger catalogue")
    device = resolve_device(settings.device)
    encoders = load_encoders(snapshot, settings, device)
    content = encode(snapshot, labels, settings, encoders, request.progress)
    return SimilarProblem(snapshot, content, labels, division, settings, device, request.progress)


def fit(problem: SimilarProblem, name: str) -> Sequence[Values]:
    """Fit a loss with each seed, and return figure → values of the test listings for each."""
    from pipelines.similar.encoding import load_encoders
    from pipelines.similar.fitting import fit as fit_fusion
    from pipelines.similar.fitting import judge as judge_fusion
    from pipelines.similar.tuning import tuned
    from twinvec.metrics.graded import rank_graded

    options, division = problem.settings.similar, problem.division
    identity = problem.labels.matrix(("product", "family"))
    test = division.test
    if name == FROZEN:
        graded = rank_graded(_frozen(problem), identity[test, 0], identity[test, 1], options.k)
        return [{figure: getattr(graded, figure) for figure in FIGURES}]
    made = []
    for number in range(SEEDS):
        problem.progress(f"{name}: seed {number + 1} of {SEEDS}")
        seed = problem.settings.seed + number
        loss = losses()[HRMS if name in TUNED else name](problem)
        shared = problem.groups, division.training, division.validation, options, loss, problem.device, seed
        content = problem.content
        model = fit_fusion(content, *shared)
        with ExitStack() as stack:
            if name in TUNED:
                settings = _with_tune(problem.settings, TUNED[name])
                encoders = load_encoders(problem.snapshot, settings, problem.device)
                content = stack.enter_context(
                    tuned(content, problem.snapshot, encoders, settings, problem.progress)
                )
                fit_fusion(content, *shared, fusion=model)
            graded = judge_fusion(model, content, identity, test, options.k)
        made.append({figure: getattr(graded, figure) for figure in FIGURES})
    return made


def _with_tune(settings: Settings, tune: str) -> Settings:
    """Return the settings with what is trained set."""
    similar = settings.similar.model_copy(update={"tune": tune})
    return settings.model_copy(update={"similar": similar})


def _frozen(problem: SimilarProblem) -> torch.Tensor:
    """Return the encoders' own vectors of the test listings, side by side, of unit length."""
    import torch
    from torch.nn import functional

    test = problem.content.only(torch.from_numpy(problem.division.test))
    return functional.normalize(torch.cat([test.text, test.image], dim=1), dim=1)


def judge(problem: SimilarProblem, name: str, fitted: Sequence[Values], seconds: float) -> SimilarRow:
    """Average over test listings and seeds."""
    import numpy as np

    values = {figure: np.stack([each[figure] for each in fitted]) for figure in FIGURES}
    means = {figure: np.nanmean(each, axis=1) for figure, each in values.items()}
    spread = {figure: float(each.std(ddof=1)) if len(each) > 1 else 0.0 for figure, each in means.items()}
    return SimilarRow(
        name,
        float(means["recall"].mean()),
        spread["recall"],
        float(means["ndcg"].mean()),
        spread["ndcg"],
        float(means["exact_recall"].mean()),
        spread["exact_recall"],
        seconds,
        values,
        problem.labels.levels["family"][problem.division.test],
    )


def over_reference(rows: Sequence[SimilarRow]) -> list[SimilarRow]:
    """Return the rows with their differences to multi-similarity; without that row, as they are."""
    reference = next((row for row in rows if row.name == REFERENCE), None)
    if reference is None:
        return list(rows)
    return [
        row
        if row is reference
        else replace(
            row,
            recall_over=paired_difference(row, reference, "recall"),
            ndcg_over=paired_difference(row, reference, "ndcg"),
            exact_over=paired_difference(row, reference, "exact_recall"),
        )
        for row in rows
    ]


def paired_difference(row: SimilarRow, other: SimilarRow, figure: str) -> Difference:
    """Return the difference of a figure, with a 95% interval by a bootstrap of families and of seeds.

    Listings of one family are drawn together, since their rankings hang together.
    """
    import numpy as np

    generator = np.random.default_rng(0)
    one, two = row.values[figure], other.values[figure]
    there = np.isfinite(one[0])
    _, family = np.unique(row.families[there], return_inverse=True)
    sums = [
        np.stack([np.bincount(family, each[there]) for each in values]) for values in (one, two)
    ]  # [seeds, families]
    sizes = np.bincount(family)
    difference = float(one[:, there].mean() - two[:, there].mean())
    drawn = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        chosen = generator.integers(0, len(sizes), len(sizes))
        parts = [
            each[generator.integers(0, len(each), len(each))][:, chosen].mean(0).sum() / sizes[chosen].sum()
            for each in sums
        ]
        drawn[number] = parts[0] - parts[1]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Difference(difference, float(low), float(high))


COMPARISON = Comparison(
    name="similar",
    title="Listings of held-out families by loss, at {settings.similar.k}; differences to multi-similarity",
    help="Losses of substitutes across stores (ProductSIM, Table 1).",
    heading="loss",
    columns=(
        Column("recall", "Recall"),
        Column("recall_sd", "±"),
        Column("recall_over", "over MS"),
        Column("ndcg", "nDCG"),
        Column("ndcg_sd", "±"),
        Column("ndcg_over", "over MS"),
        Column("exact_recall", "Recall of exact"),
        Column("exact_sd", "±"),
        Column("exact_over", "over MS"),
        Column("seconds", "seconds"),
    ),
    rows=row_names,
    others=tuple(TUNED),
    prepare=prepare,
    fit=fit,
    judge=judge,
    finish=over_reference,
    summary=("recall", "ndcg", "exact_recall"),
)
