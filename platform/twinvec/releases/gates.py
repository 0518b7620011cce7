"""Gates: figures that a release must reach to replace the live one, and their outcome."""

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
from twinvec.spaces import lists_space
from twinvec.workspace import Workspace

# Key of the outcome in a release's verification.
RECORD = "gates"


@dataclass(frozen=True)
class Gate:
    """A figure of a release beside that of the live one, with its bounds.

    Attributes:
        figure: Name of the figure.
        new, live: Values of the two releases; `live` is None if the figure compares both.
        least, most: Bounds of `new`; None is no bound.
        setting: Setting that gives the bound, with its value.
    """

    figure: str
    new: float
    live: float | None
    least: float | None
    most: float | None
    setting: str

    @property
    def passed(self) -> bool:
        """True if the figure is within its bounds; NaN never is."""
        return (self.least is None or self.new >= self.least) and (self.most is None or self.new <= self.most)

    def __str__(self) -> str:
        beside = f", live {self.live:.4f}" if self.live is not None else ""
        bound = f"at least {self.least:.4f}" if self.least is not None else f"at most {self.most:.4f}"
        return f"{self.figure} {self.new:.4f}{beside}, {bound} ({self.setting})"


@dataclass(frozen=True)
class Quality:
    """Quality of two versions on the same held-out edges, among the products of both; neither was trained on them.

    Attributes:
        gates: Each figure and the number of edges that measured it; none if there are no such edges.
        edges: Number of ranked edges.
        one_way_edges: Number of ranked edges that have a direction.
        remark: Reason why nothing was compared, or a note; None if there is none.
    """

    gates: tuple[tuple[Gate, int], ...] = ()
    edges: int = 0
    one_way_edges: int = 0
    remark: str | None = None


# Compares the version of a new release with that of the live one. Each served space declares its own.
Judge: TypeAlias = Callable[[Workspace, Version, Version], Quality]


@dataclass(frozen=True)
class Outcome:
    """Outcome of the gates of a release.

    Attributes:
        live: Label of the live release; None if none was live.
        gates: Figures that decide.
        shown: Figures that do not decide, because they were measured on too few edges.
        edges, one_way_edges: Numbers of edges that measured the quality.
        remark: Reason why the quality was not compared or does not decide; None if it does.
    """

    live: str | None
    gates: tuple[Gate, ...]
    shown: tuple[Gate, ...] = ()
    edges: int = 0
    one_way_edges: int = 0
    remark: str | None = None

    @property
    def failing(self) -> tuple[Gate, ...]:
        """The figures that do not pass."""
        return tuple(gate for gate in self.gates if not gate.passed)

    def record(self, forced: bool) -> dict[str, Any]:
        """Return the outcome as JSON-like values, which are kept with the release."""
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
    """A release was not promoted because its figures do not pass the gates; nothing was changed."""

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
    """Compare a release with the live one and return the outcome; nothing is changed.

    Args:
        workspace: Stores.
        release: Release to be promoted.
        live: Live release; without one, only the coverage and the floors are measured.
        judge: Function that compares the quality; by default that of the space's declaration.
    """
    settings, serving = workspace.settings.gates, space_of(workspace, release).serving
    assert serving is not None
    floors = tuple(_coverage(workspace, release, live)) if serving.every_product else ()
    if serving.floors is not None:
        floors += tuple(load_reference(serving.floors)(workspace, release.version))
    if live is None:
        return Outcome(None, floors)
    missing = gone(workspace, release.version, live.version)
    compared = [Gate("gone", missing, None, None, settings.max_gone, named(settings, "max_gone"))]
    if serving.fields is not None:
        changed = changed_top_10(workspace, release, live)
        bound = named(settings, "max_changed")
        compared.append(Gate("changed_top_10", changed, None, None, settings.max_changed, bound))
    quality = _quality(workspace, release, live, judge)
    judged: list[Gate] = []
    shown: list[Gate] = []
    for gate, edges in quality.gates:
        (judged if edges >= settings.min_edges else shown).append(gate)
    few = f"too few held-out edges to judge by: {named(settings, 'min_edges')}" if shown else None
    return Outcome(
        live.label,
        (*judged, *floors, *compared),
        tuple(shown),
        quality.edges,
        quality.one_way_edges,
        quality.remark or few,
    )


def _quality(workspace: Workspace, release: Release, live: Release, judge: Judge | None) -> Quality:
    space = space_of(workspace, release)
    assert space.serving is not None
    lists = lists_space(space)
    judge_lists = lists.listing.judge if lists is not None and lists.listing is not None else None
    quality = Quality(remark=f"quality was not compared: {release.name} declares no judge")
    if judge is not None:
        quality = judge(workspace, release.version, live.version)
    elif judge_lists is not None and (release.lists or live.lists):
        quality = load_reference(judge_lists)(workspace, release, live)
    elif space.serving.judge is not None:
        quality = load_reference(space.serving.judge)(workspace, release.version, live.version)
    return quality


def require(release: Release, outcome: Outcome, force: bool) -> str | None:
    """Raise if a figure does not pass and the promotion is not forced.

    Returns:
        Sentence on the figures that were forced, for the history; None if all pass.

    Raises:
        GateError: If a figure does not pass; the message lists all that do not.
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
