"""Seconds that the stages of a run are likely to take, and what they were worth, told before they run.

A stage that was made here with the same settings took some seconds, which grow with the catalogue. One that was not
has a rate that a benchmark measured with the default settings on a CPU. Where neither is there, nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from registry import operations
from registry.database import transaction
from registry.models import State, Version
from twinvec import dag
from twinvec.catalogue.snapshot import Snapshot
from twinvec.settings import Settings
from twinvec.spaces import Space, spaces
from twinvec.workspace import Workspace


@dataclass(frozen=True)
class Rate:
    """Time of a stage with the default settings.

    Attributes:
        table: Table of a snapshot whose rows the time grows with.
        seconds: Seconds for each of its rows.
        rows: Rows that were measured. The rate says nothing of more than `REACH` times as many, since much of a
            training has a bound.
    """

    table: str
    seconds: float
    rows: int


# `benchmarks/stages.py`, on 2 cores of AMD EPYC; benchmarks/results/stages.json. A test holds them equal.
RATES: Mapping[str, Rate] = {
    "category": Rate("products", 0.000596, rows=7_419),
    "graph": Rate("copurchase", 1.15e-05, rows=36_593),
    "text": Rate("coview", 0.0321, rows=4_611),
    "aligned": Rate("coview", 0.00126, rows=4_611),
    "related": Rate("copurchase", 0.00173, rows=36_593),
    "ranking": Rate("products", 0.0161, rows=7_419),
    "image": Rate("products", 0.0137, rows=1_000),
    "sellers": Rate("offers", 0.00104, rows=4_620),
    "similar": Rate("listings", 0.0125, rows=1_094),
    "neighbourhoods": Rate("query_purchases", 0.00125, rows=2_226),
}
REACH = 10
MEASURED = "rate of a benchmark"
UNKNOWN = "not known yet"


@dataclass(frozen=True)
class Estimate:
    """A stage that a run would make.

    Attributes:
        space: Name of the space.
        reason: Why it would be made.
        seconds: Estimated time; None if it is not known.
        basis: Earlier version or measurement that the time is of.
        worth: Figures of the stage's last version, or which stages need it.
    """

    space: str
    reason: str
    seconds: float | None
    basis: str
    worth: str


def plan(workspace: Workspace, snapshot: Snapshot, force: bool = False) -> list[Estimate]:
    """Return an estimate of each stage that a run would make, in order.

    Args:
        workspace: Stores.
        snapshot: Snapshot that the run makes versions of.
        force: Whether it makes all again.
    """
    standings = {each.space: each for each in dag.standing(workspace, snapshot)}
    estimates = []
    for space in spaces():
        standing = standings.get(space.name)
        if standing is None or not (standing.stale or (force and not standing.reason.startswith("skipped"))):
            continue
        seconds, basis = _seconds(workspace, snapshot, space)
        reason = standing.reason if standing.stale else "forced"
        estimates.append(Estimate(space.name, reason, seconds, basis, _worth(space, standing.version)))
    return estimates


def total(estimates: Iterable[Estimate]) -> tuple[float, list[str]]:
    """Return the sum of the seconds that are known, and the stages whose are not.

    Example:
        >>> total([Estimate("text", "", 60.0, "", ""), Estimate("image", "", None, UNKNOWN, "")])
        (60.0, ['image'])
    """
    listed = list(estimates)
    known = sum(each.seconds for each in listed if each.seconds is not None)
    return known, [each.space for each in listed if each.seconds is None]


def recorded_seconds(workspace: Workspace, versions: Sequence[Version]) -> dict[str, float]:
    """Return the seconds from the beginning of each version to its end, by name; versions that failed have none."""
    with transaction(workspace.engine) as session:
        moves = operations.moves(session, versions)
    begun = {move.what: move.at for move in moves if move.after is State.BUILDING}
    return {
        move.what: (move.at - begun[move.what]).total_seconds()
        for move in moves
        if move.after is State.READY and move.what in begun
    }


def _seconds(workspace: Workspace, snapshot: Snapshot, space: Space) -> tuple[float | None, str]:
    """Return the estimated seconds of a stage, and what they are of."""
    settings = dag.parameters(space, workspace.settings)
    with transaction(workspace.engine) as session:
        versions = [
            version
            for version in operations.versions(session, (State.READY, State.REMOVED))
            # An update or an import trains nothing; another seed takes as long.
            if version.space == space.name
            and version.settings is not None
            and "frozen" not in version.manifest
            and {**version.settings, "seed": None} == {**settings, "seed": None}
        ]
    recorded = recorded_seconds(workspace, versions)
    for version in reversed(versions):
        if version.name in recorded:
            growth = workspace.snapshot_row(snapshot.id).products / max(1, version.snapshot.products)
            return recorded[version.name] * growth, f"{version.name}, {version.snapshot.products:,} products"
    rate = RATES.get(space.name)
    if rate is None or settings != dag.parameters(space, _defaults(workspace.settings)):
        return None, UNKNOWN
    if (
        _computes_on_gpu(workspace.settings)
        or not 0 < snapshot.tables.get(rate.table, 0) <= REACH * rate.rows
    ):
        return None, UNKNOWN
    return rate.seconds * snapshot.tables[rate.table], MEASURED


def _defaults(settings: Settings) -> Settings:
    """Return the default settings with the seed of others."""
    return Settings.model_construct(seed=settings.seed)


def _computes_on_gpu(settings: Settings) -> bool:
    from twinvec.nn.device import resolve_device  # PyTorch, which only a run needs

    return resolve_device(settings.device).type != "cpu"


def _worth(space: Space, version: Version | None) -> str:
    """Return what training changed in the last version's figures, else which stages read its vectors."""
    if space.worth is not None and version is not None:
        before, after = (version.metrics.get(name) for name in (space.worth.before, space.worth.after))
        if before is not None and after is not None:
            return f"{space.worth.figure} {before:.3f} → {after:.3f} in {version.name}"
    readers = [other.name for other in spaces() if space.name in other.inputs]
    told = [f"read by {', '.join(readers)}"] if readers else []
    if space.serving is not None:
        told.append(f"served as {space.serving.name}")
    if space.worth is not None and space.worth.example:
        told.append(space.worth.example)
    return "; ".join(told)
