"""Gates: what a release must not fall short of to take the place of the live one, and what becomes of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from registry.models import Release, Version
from twinvec.errors import TwinvecError
from twinvec.plugins import load_reference
from twinvec.releases.changes import changed_top_10, covered, gone
from twinvec.releases.lookup import space_of
from twinvec.settings.gates import GateSettings
from twinvec.workspace import Workspace

# Where the outcome is kept in a release's verification.
RECORD = "gates"


@dataclass(frozen=True)
class Gate:
    """One figure of a release beside that of the live one.

    Attributes:
        figure: its name.
        new, live: its values; `live` is None where the figure is one of the two together.
        least, most: between which `new` has to be; None is no bound.
        setting: which says so, and its value.
    """

    figure: str
    new: float
    live: float | None
    least: float | None
    most: float | None
    setting: str

    @property
    def passed(self) -> bool:
        """Whether the figure is within its bounds; one that is not a number is not."""
        return (self.least is None or self.new >= self.least) and (self.most is None or self.new <= self.most)

    def __str__(self) -> str:
        beside = f", live {self.live:.4f}" if self.live is not None else ""
        bound = f"at least {self.least:.4f}" if self.least is not None else f"at most {self.most:.4f}"
        return f"{self.figure} {self.new:.4f}{beside}, {bound} ({self.setting})"


@dataclass(frozen=True)
class Quality:
    """Two versions judged on the same held-out edges, on which neither was trained, among the products both have.

    Attributes:
        gates: Each figure and the number of edges it was measured on; none if there are no such edges.
        edges: Edges that were ranked.
        one_way_edges: Those of them that have a direction.
        remark: Why nothing was compared, or what else is to be known; None if nothing is.
    """

    gates: tuple[tuple[Gate, int], ...] = ()
    edges: int = 0
    one_way_edges: int = 0
    remark: str | None = None


# Judges the version of a new release and that of the live one. Each served space declares its own.
Judge: TypeAlias = Callable[[Workspace, Version, Version], Quality]


@dataclass(frozen=True)
class Outcome:
    """What was found of a release before it was promoted.

    Attributes:
        live: the release it was compared with, or None if none was live.
        gates: every figure that was judged.
        shown: figures that were not, because there were too few edges.
        edges, one_way_edges: that quality was measured on.
        remark: why quality was not compared, or is not judged; None if it is.
    """

    live: str | None
    gates: tuple[Gate, ...]
    shown: tuple[Gate, ...] = ()
    edges: int = 0
    one_way_edges: int = 0
    remark: str | None = None

    @property
    def failing(self) -> tuple[Gate, ...]:
        """The figures that refuse."""
        return tuple(gate for gate in self.gates if not gate.passed)

    def record(self, forced: bool) -> dict[str, Any]:
        """The outcome as JSON-like values, to be kept with the release."""
        figures = [asdict(gate) | {"passed": gate.passed} for gate in self.gates]
        figures += [asdict(gate) | {"passed": None} for gate in self.shown]
        return {
            "live": self.live,
            "forced": forced,
            "figures": figures,
            "edges": self.edges,
            "one_way_edges": self.one_way_edges,
            "remark": self.remark,
        }


class GateError(TwinvecError):
    """A release is not promoted, because figures of it are not what the settings ask for; nothing was changed."""

    def __init__(self, release: Release, outcome: Outcome) -> None:
        stays = f", and {outcome.live} stays live" if outcome.live else ""
        failing = "".join(f"\n  {gate}" for gate in outcome.failing)
        number, compared = release.number, len(outcome.gates)
        super().__init__(
            f"{release.label} was not promoted{stays}: "
            f"{len(outcome.failing)} of {compared} figures do not pass{failing}",
            f"it remains {release.state}; `twinvec promote {number} --force` promotes it all the same, and records it",
        )
        self.release = release
        self.outcome = outcome


def measure(workspace: Workspace, release: Release, live: Release | None, judge: Judge | None) -> Outcome:
    """Compare a release with the live one; nothing is changed.

    Args:
        workspace: Stores.
        release: Release to be promoted.
        live: Release that serves, with which everything but the coverage is compared.
        judge: Compares the quality; the judge that the space declares if not given.
    """
    settings, serving = workspace.settings.gates, space_of(workspace, release).serving
    assert serving is not None
    coverage = tuple(_coverage(workspace, release, live)) if serving.every_product else ()
    if live is None:
        return Outcome(None, coverage)
    missing = gone(workspace, release.version, live.version)
    changed = changed_top_10(workspace, release, live)
    if judge is None and serving.judge is not None:
        judge = load_reference(serving.judge)
    quality = (
        judge(workspace, release.version, live.version)
        if judge is not None
        else Quality(remark=f"quality was not compared: {release.name} declares no judge")
    )
    judged: list[Gate] = []
    shown: list[Gate] = []
    for gate, edges in quality.gates:
        (judged if edges >= settings.min_edges else shown).append(gate)
    few = f"too few held-out edges to judge by: {named(settings, 'min_edges')}" if shown else None
    return Outcome(
        live.label,
        (
            *judged,
            *coverage,
            Gate("gone", missing, None, None, settings.max_gone, named(settings, "max_gone")),
            Gate("changed_top_10", changed, None, None, settings.max_changed, named(settings, "max_changed")),
        ),
        tuple(shown),
        quality.edges,
        quality.one_way_edges,
        quality.remark or few,
    )


def require(release: Release, outcome: Outcome, force: bool) -> str | None:
    """Refuse a release whose figures do not pass, unless forced.

    Returns:
        What it was forced over, for its history; None if nothing had to be.

    Raises:
        GateError: naming every figure.
    """
    if not outcome.failing:
        return None
    if not force:
        raise GateError(release, outcome)
    return "forced over " + "; ".join(map(str, outcome.failing))


def _coverage(workspace: Workspace, release: Release, live: Release | None) -> Iterator[Gate]:
    settings = workspace.settings.gates
    yield Gate(
        "coverage",
        covered(workspace, release.version),
        covered(workspace, live.version) if live is not None else None,
        settings.min_coverage,
        None,
        named(settings, "min_coverage"),
    )


def named(settings: GateSettings, name: str) -> str:
    """Return a setting of the gates with its value, as messages show it."""
    return f"gates.{name} {getattr(settings, name):g}"
