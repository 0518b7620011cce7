"""Tables of training schemes of the text and of the image encoder (MERLIN 4.2.3, Tables 6 and 7).

The whole chain of spaces runs once for each scheme. The versions are made in a registry, a feature store and, without
a tracking server, an MLflow database of their own, in `ablations` of the home: versions that others read stay as they
are. Versions of an earlier comparison are used again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from pipelines.comparisons.comparison import RELATED, Column, Comparison, Request
from pipelines.comparisons.ranking_row import OVER_ABOVE, Difference
from twinvec.errors import CatalogueError

if TYPE_CHECKING:
    from pipelines.comparisons.scheme_ranks import SchemeRanks
    from registry.models import Version
    from twinvec.workspace import Workspace

COVIEWS, NONE = "coviews", "none"
# What rows are judged by → prefix of the figures' names in a version's metrics.
PREFIX = {COVIEWS: "coview_", RELATED: ""}
ACROSS = {"hits_at_1": "across languages: Hits@1", "mrr_at_10": "across languages: MRR@10"}
FIGURES = {"hits_at_1": "Hits@1", "hits_at_3": "Hits@3", "hits_at_5": "Hits@5", "mrr_at_10": "MRR@10"}
ACROSS_COLUMNS = (
    *(Column(f"across.{figure}", title, logged=False) for figure, title in ACROSS.items()),
    Column("across_over_above", "across languages: over the row above", logged=False),
)


@dataclass(frozen=True)
class SchemeRow:
    """One training scheme.

    Attributes:
        scheme: Training scheme of the encoder.
        version: Version whose figures these are, among those of the comparison.
        figures: Hits@1, 3, 5 and MRR@10 on held-out pairs.
        relative: The same divided by those of the first row; None where that is 0.
        across: Hits@1 and MRR@10 on the pairs whose titles are of different languages; None if there are none.
        over_above: Difference of MRR@10 to the row above; None in the first row.
        across_over_above: The same on the pairs whose titles are of different languages; None if there are none.
        ranks: What the differences are made of.
    """

    scheme: str
    version: str
    figures: dict[str, float]
    relative: dict[str, float | None]
    across: dict[str, float | None]
    over_above: Difference | None = None
    across_over_above: Difference | None = None
    ranks: SchemeRanks | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Name of the row: the scheme."""
        return self.scheme


@dataclass(frozen=True)
class Made:
    """The version that has a scheme's figures, and the stores it was made in."""

    workspace: Workspace
    version: Version


@dataclass(frozen=True)
class EncoderProblem:
    """The problem that all schemes of an encoder share.

    Attributes:
        space: Space of the encoder.
        request: The request, with the settings of everything else.
    """

    space: str
    request: Request

    @property
    def judged_space(self) -> str:
        """Space whose version has the figures: the encoder's own for co-views, else `related`."""
        return self.space if self.request.by == COVIEWS else "related"


def fit(problem: EncoderProblem, scheme: str) -> Made:
    """Make the versions with this scheme, and return the one that has the figures.

    Raises:
        UnsuitedError: If the scheme is `none`, and the encoder's own vectors are judged.
        CatalogueError: If there is no version.
    """
    from pipelines.baselines.problem import UnsuitedError
    from twinvec import dag

    request, space = problem.request, problem.judged_space
    if scheme == NONE and space == problem.space:
        raise UnsuitedError(f"there are no {space} vectors that could find {request.by}")

    def report(message: str) -> None:
        request.progress(f"{scheme}: {message}")

    workspace = _own_workspace(problem, scheme)
    steps = dag.run(workspace, request.snapshot, {space}, progress=report)
    step = next(step for step in steps if step.space == space)
    if step.version is None:
        raise CatalogueError(
            f"snapshot {request.snapshot.id} gave no version of {space} with {problem.space}.scheme={scheme}: "
            f"{step.reason}",
            "ingest a catalogue that has what is compared",
        )
    return Made(workspace, step.version)


def judge(problem: EncoderProblem, scheme: str, made: Made, _seconds: float) -> SchemeRow:
    """Read the figures that were recorded with a version, and rank again for the differences.

    Raises:
        CatalogueError: If it has none.
    """
    from pipelines.comparisons.scheme_ranks import ranks_on_coviews, ranks_on_edges

    by, version = problem.request.by, made.version
    metrics = version.metrics or {}
    names = {figure: f"{PREFIX[by]}{figure}" for figure in FIGURES}
    if not set(names.values()) <= metrics.keys():
        raise CatalogueError(
            f"{version.name} has no figures on {by}: its graph has none held out",
            "ingest a larger catalogue",
        )
    return SchemeRow(
        scheme,
        version.name,
        {figure: float(metrics[name]) for figure, name in names.items()},
        {},
        {figure: metrics.get(f"{PREFIX[by]}across_{figure}") for figure in ACROSS},
        ranks=ranks_on_coviews(made.workspace, problem.request.snapshot, version)
        if by == COVIEWS
        else ranks_on_edges(made.workspace, version),
    )


def relate(rows: Sequence[SchemeRow]) -> list[SchemeRow]:
    """Divide the figures of each row by those of the first, and compare it with the row above."""
    compared = [*rows[:1], *map(_over, rows[1:], rows)]
    return [
        replace(
            row,
            relative={
                figure: value / first if (first := rows[0].figures[figure]) else None
                for figure, value in row.figures.items()
            },
        )
        for row in compared
    ]


def _over(row: SchemeRow, above: SchemeRow) -> SchemeRow:
    """Return a row with its differences to the row above."""
    from pipelines.comparisons.judging import mean_difference

    ours, others = row.ranks, above.ranks
    assert ours is not None
    assert others is not None
    return replace(
        row,
        over_above=mean_difference(ours.everywhere, others.everywhere),
        across_over_above=mean_difference(ours.across, others.across) if len(ours.across) else None,
    )


def _own_workspace(problem: EncoderProblem, scheme: str) -> Workspace:
    """Open the stores of comparisons, with one scheme set and the snapshot recorded."""
    from sqlalchemy import inspect

    from registry.database import transaction
    from registry.models import Snapshot as SnapshotRow
    from registry.snapshots import record_snapshot
    from twinvec.settings import FeastSettings, RegistrySettings
    from twinvec.workspace import Workspace

    request, settings = problem.request, problem.request.settings
    snapshot = request.workspace.snapshot_row(request.snapshot.id)
    home = settings.paths.ablations
    home.mkdir(parents=True, exist_ok=True)
    own = {
        "home": home,
        "registry": RegistrySettings(),
        "feast": FeastSettings(),
        problem.space: getattr(settings, problem.space).model_copy(update={"scheme": scheme}),
    }
    workspace = Workspace(settings.model_copy(update=own))
    columns = {column.key: getattr(snapshot, column.key) for column in inspect(SnapshotRow).column_attrs}
    with transaction(workspace.engine) as session:
        record_snapshot(session, SnapshotRow(**columns))
    return workspace


def _declare(
    space: str,
    schemes: tuple[str, ...],
    others: tuple[str, ...],
    judged_by: tuple[str, ...],
    help_text: str,
    across: bool = False,
) -> Comparison[EncoderProblem, Made, SchemeRow]:
    return Comparison(
        name=space,
        title=f"{space}.scheme by {{by}}, and relative to {{first}}",
        help=help_text,
        heading="scheme",
        columns=(
            *(Column(f"figures.{figure}", title) for figure, title in FIGURES.items()),
            *(Column(f"relative.{figure}", f"{title} ×", logged=False) for figure, title in FIGURES.items()),
            OVER_ABOVE,
            *(ACROSS_COLUMNS if across else ()),
        ),
        rows=lambda: schemes,
        others=others,
        prepare=partial(EncoderProblem, space),
        fit=fit,
        judge=judge,
        finish=relate,
        summary=("figures.mrr_at_10",),
        judged_by=judged_by,
        run_name=f"{space} by {{by}}",
    )


TEXT = _declare(
    "text",
    ("pretrained", "copurchase", "category", "coview", "coview-ml"),
    (NONE,),
    (COVIEWS, RELATED),
    "Training schemes of the text encoder (Table 6).",
    across=True,
)
IMAGE = _declare(
    "image",
    (NONE, "pretrained", "same-product", "coview-pair"),
    (),
    (RELATED, COVIEWS),
    "Training schemes of the image encoder (Table 7).",
)
