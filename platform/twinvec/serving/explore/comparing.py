"""Releases as the page lists them, and two of them beside each other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from registry.models import WHOLE, Release, State, Version
from twinvec import releases
from twinvec.errors import TwinvecError
from twinvec.releases.changes import changes
from twinvec.releases.gates import RECORD
from twinvec.releases.lookup import release_lineage
from twinvec.serving.explore.maps import titles_of
from twinvec.serving.explore.opening import Explored
from twinvec.serving.similar import SPACE as SIMILAR
from twinvec.spaces import all_spaces, release_name
from twinvec.tracking.naming import flatten
from twinvec.vectors.maps import FILE
from twinvec.workspace import Workspace

# Products whose lists changed most that are shown.
MOST = 50


@dataclass(frozen=True)
class Listed:
    """A release in the page's choice.

    Attributes:
        name: Number, as `v7`.
        label: Whole label, `related_products@v7`.
        state: State in the registry.
        version, lists: Versions that serve; `lists` is None if it answers in the order of its vectors.
        snapshot: Snapshot of its version.
        products: Number of products.
        created_at, promoted_at: When.
        mapped: Whether its version has a map.
    """

    name: str
    label: str
    state: str
    version: str
    lists: str | None
    snapshot: str
    products: int | None
    created_at: datetime
    promoted_at: datetime | None
    mapped: bool


@dataclass(frozen=True)
class Run:
    """A run of a version that serves in a release; `page` is None if MLflow is no server."""

    version: str
    run: str
    page: str | None


@dataclass(frozen=True)
class Side:
    """One of the two releases, and its figures.

    Attributes:
        release: The release.
        metrics: Figures of its version and lists, by version and name.
        gates: Outcome of the gates when it was promoted; None if it never was.
        runs: Runs of the versions that serve in it.
    """

    release: Listed
    metrics: dict[str, float]
    gates: dict[str, Any] | None
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Changed:
    """A product whose list changed."""

    product_id: str
    share: float
    title: str | None
    row: int | None


@dataclass(frozen=True)
class Comparison:
    """Two releases beside each other.

    Attributes:
        sides: The release that is looked at, and the other one.
        asked: Products in both whose lists were compared, a sample.
        changed_lists: Share of them whose ten best are not the same set.
        changed_items: Mean share of the ten best that the other does not give.
        most: Products whose lists changed most.
        pictures: Pictures of what changed, the name and the run of each.
        remark: Reason why the lists could not be compared; None if they were.
    """

    sides: tuple[Side, Side]
    asked: int
    changed_lists: float | None
    changed_items: float | None
    most: tuple[Changed, ...]
    pictures: tuple[dict[str, str], ...]
    remark: str | None


def list_releases(workspace: Workspace) -> list[Listed]:
    """Return all releases that can answer, the newest first."""
    found = [listed(release) for release in releases.all_releases(workspace) if release.state in WHOLE]
    return found[::-1]


def panels(workspace: Workspace) -> dict[str, str | None]:
    """Return the label of the live release of similar products and of search relevance, None where there is none."""
    found: dict[str, str | None] = {SIMILAR: None, "relevance": None}
    for space in all_spaces():
        panel = (
            "relevance" if space.serving is not None and space.serving.classify is not None else space.name
        )
        if panel in found:
            live = releases.live(workspace, release_name(space, workspace.settings))
            found[panel] = live.label if live is not None else None
    return found


def listed(release: Release) -> Listed:
    """Return a release as the page lists it."""
    version = release.version
    return Listed(
        f"v{release.number}",
        release.label,
        State(release.state).value,
        version.name,
        release.lists.name if release.lists is not None else None,
        version.snapshot_id,
        version.rows,
        release.created_at,
        release.promoted_at,
        (Path(version.path) / FILE).is_file(),
    )


def compare(workspace: Workspace, one: Explored, other: Explored) -> Comparison:
    """Return two releases beside each other; the lists of a sample of products in both are compared."""
    sides = _side(workspace, one.release), _side(workspace, other.release)
    drawn = tuple(_pictures(workspace, one.release.version, other.release.version))
    try:
        keys, shares = changes(workspace, one.release, other.release)
    except TwinvecError as error:
        return Comparison(sides, 0, None, None, (), drawn, error.message)
    if not len(keys):
        return Comparison(sides, 0, None, None, (), drawn, "the two have no product in common")
    order = [place for place in np.lexsort((keys, -shares))[:MOST].tolist() if shares[place] > 0]
    rows = one.rows([str(keys[place]) for place in order])
    titles = titles_of(one, rows)
    most = tuple(
        Changed(str(keys[place]), float(shares[place]), titles.get(row), row)
        for place, row in zip(order, rows, strict=True)
    )
    return Comparison(sides, len(keys), float(np.mean(shares > 0)), float(np.mean(shares)), most, drawn, None)


def _side(workspace: Workspace, release: Release) -> Side:
    from twinvec.tracking.pictures import run_page

    metrics: dict[str, float] = {}
    for version in (release.version, release.lists):
        if version is not None:
            for name, value in flatten(version.metrics).items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    metrics[f"{version.space}: {name}"] = float(value)
    runs = tuple(
        Run(version.name, version.run_id, run_page(workspace.settings, version.run_id))
        for version in release_lineage(workspace, release)
        if version.run_id is not None
    )
    return Side(listed(release), metrics, release.verification.get(RECORD), runs)


def _pictures(workspace: Workspace, one: Version, other: Version) -> list[dict[str, str]]:
    """Return the pictures of drift between two versions either way, and those of their own runs."""
    from twinvec.tracking.pictures import drift_run, pictures

    settings = workspace.settings
    found = [
        (f"drift from {old.name} to {new.name}", drift_run(settings, new.name, old.name))
        for new, old in ((one, other), (other, one))
    ]
    found += [(version.name, version.run_id) for version in (one, other)]
    return [
        {"run": run, "name": name, "what": f"{what}: {name}"}
        for what, run in found
        if run is not None
        for name in pictures(settings, run)
    ]
