"""The road: every pipeline in order, each run only if what it would make is not there already."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pipelines.category import npmi
from pipelines.image import reading
from pipelines.text import texts
from registry import operations
from registry.database import transaction
from registry.models import Version
from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import NotFoundError
from twinvec.nn import processes
from twinvec.settings import Settings
from twinvec.stage import Inputs, fingerprint, help_train, make_version
from twinvec.workspace import Workspace

NOTHING: Mapping[str, Version] = MappingProxyType({})


def never(_snapshot: Snapshot, _settings: Settings) -> None:
    """No reason to skip a stage."""


def without_content(snapshot: Snapshot, settings: Settings) -> str | None:
    """Why there is nothing to align, or None."""
    if texts.reason_to_skip(snapshot, settings) is None or reading.reason_to_skip(snapshot, settings) is None:
        return None
    return "no product has a title, a category or an image that can be read"


def without_offers(snapshot: Snapshot, _settings: Settings) -> str | None:
    """Why there is nothing to recommend to sellers, or None."""
    return None if "offers" in snapshot.tables else "the source has no table `offers`"


@dataclass(frozen=True)
class Stage:
    """One pipeline on the road.

    Attributes:
        space: what it makes a version of.
        module: has `train(inputs, run, progress)`. Imported when the stage runs: most import torch.
        needs: spaces it cannot do without.
        uses: spaces it reads if there is a version.
        settings: groups of settings that decide what it makes.
        revision: raised when the code makes something else of the same inputs.
        table: of the snapshot; one that lacks it has no such stage on its road, unless it is asked for.
        reason_to_skip: why there is nothing to make a version of; None if there is something.
    """

    space: str
    module: str
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    revision: int = 1
    table: str = "products"
    reason_to_skip: Callable[[Snapshot, Settings], str | None] = never

    @property
    def inputs(self) -> tuple[str, ...]:
        """All spaces it reads."""
        return self.needs + self.uses

    def parameters(self, settings: Settings) -> dict[str, Any]:
        """The settings that decide what it makes, by group."""
        values = {name: getattr(settings, name).deciding() for name in self.settings}
        return {**values, "seed": settings.seed}


STAGES = (
    Stage(
        "category", "pipelines.category.pipeline", settings=("category",), reason_to_skip=npmi.reason_to_skip
    ),
    Stage(
        "graph",
        "pipelines.graph.pipeline",
        uses=("category",),
        settings=("graph", "category"),
        revision=2,
    ),
    Stage(
        "text",
        "pipelines.text.pipeline",
        uses=("graph",),
        settings=("text",),
        revision=2,
        reason_to_skip=texts.reason_to_skip,
    ),
    Stage(
        "image",
        "pipelines.image.pipeline",
        uses=("graph",),
        settings=("image",),
        revision=2,
        reason_to_skip=reading.reason_to_skip,
    ),
    Stage(
        "aligned",
        "pipelines.alignment.pipeline",
        needs=("graph",),
        uses=("text", "image"),
        settings=("aligned",),
        reason_to_skip=without_content,
    ),
    Stage(
        "related", "pipelines.related.pipeline", needs=("graph",), uses=("aligned",), settings=("related",)
    ),
    Stage(
        "seller_products",
        "pipelines.sellers.products",
        uses=("text",),
        settings=("sellers",),
        table="offers",
        reason_to_skip=without_offers,
    ),
    Stage(
        "sellers",
        "pipelines.sellers.pipeline",
        needs=("seller_products",),
        settings=("sellers",),
        table="offers",
        reason_to_skip=without_offers,
    ),
)


@dataclass(frozen=True)
class Step:
    """What became of one stage.

    Attributes:
        space: the stage's.
        version: the version that is up to date now; None if the stage was skipped.
        made: whether it was made just now.
        seconds: that took.
        reason: why it was made, or was not.
    """

    space: str
    version: Version | None
    made: bool
    seconds: float
    reason: str


@dataclass(frozen=True)
class Standing:
    """Where one stage stands for a snapshot.

    Attributes:
        space: the stage's.
        version: its latest usable version, whatever it was made from; None if there is none.
        stale: whether a run would make another.
        reason: why.
    """

    space: str
    version: Version | None
    stale: bool
    reason: str


def find_stage(space: str) -> Stage:
    """The stage that makes versions of `space`.

    Raises:
        NotFoundError: if there is none.
    """
    for stage in STAGES:
        if stage.space == space:
            return stage
    raise NotFoundError(
        f"there is no space {space!r}", f"it is one of {', '.join(stage.space for stage in STAGES)}"
    )


def run(
    workspace: Workspace,
    snapshot: Snapshot,
    spaces: Collection[str] | None = None,
    force: bool = False,
    progress: Callable[[str], None] = lambda message: None,
    given: Mapping[str, Version] = NOTHING,
) -> list[Step]:
    """Run every stage that is out of date, in order.

    Args:
        workspace: the stores.
        snapshot: to make versions of.
        spaces: stages to run; all that the snapshot has the tables for if not given. Stages that these need, and that
            are out of date, run too.
        force: make new versions of these stages even if nothing changed.
        progress: told what is going on.
        given: space → version to take in place of the stage's own; what only that one needs is not run.

    Returns:
        What became of each stage that was looked at.

    Raises:
        NotFoundError: on an unknown space.
    """
    asked = {find_stage(space).space for space in spaces} if spaces else _on_the_road(snapshot)
    wanted = _with_needs(asked, given)
    versions: dict[str, Version] = {}
    steps = []
    for stage in STAGES:
        if stage.space in given:
            versions[stage.space] = given[stage.space]
        elif stage.space in wanted:
            step = _run_stage(workspace, snapshot, stage, versions, force and stage.space in asked, progress)
            steps.append(step)
            if step.version is not None:
                versions[stage.space] = step.version
    return steps


def standing(workspace: Workspace, snapshot: Snapshot) -> list[Standing]:
    """Where every stage of the snapshot's road stands; nothing is run, and nothing heavy imported."""
    current: dict[str, Version] = {}
    stale: set[str] = set()
    found = []
    on_the_road = _on_the_road(snapshot)
    for stage in STAGES:
        if stage.space not in on_the_road:
            continue
        version, _ = _up_to_date(workspace, snapshot, stage, current)
        # An input that it was made without, and that a run would make first, is to be read too.
        if version is not None and stale.isdisjoint(stage.inputs):
            current[stage.space] = version
            found.append(Standing(stage.space, version, False, "up to date"))
            continue
        with transaction(workspace.engine) as session:
            latest = operations.latest_version(session, stage.space)
        reason = stage.reason_to_skip(snapshot, workspace.settings)
        if reason is not None:
            found.append(Standing(stage.space, latest, False, f"skipped: {reason}"))
        else:
            stale.add(stage.space)
            changed = "snapshot, settings or inputs changed" if latest else "not made yet"
            found.append(Standing(stage.space, latest, True, changed))
    return found


def _run_stage(
    workspace: Workspace,
    snapshot: Snapshot,
    stage: Stage,
    versions: Mapping[str, Version],
    force: bool,
    progress: Callable[[str], None],
) -> Step:
    current, mark = _up_to_date(workspace, snapshot, stage, versions)
    if current is not None and not force:
        return Step(stage.space, current, False, 0.0, "up to date")
    missing = [space for space in stage.needs if space not in versions]
    if missing:
        return Step(stage.space, None, False, 0.0, f"skipped: there is no version of {', '.join(missing)}")
    started = time.perf_counter()
    reason = stage.reason_to_skip(snapshot, workspace.settings)
    if reason is not None:
        progress(f"{stage.space}: skipped, {reason}")
        return Step(stage.space, None, False, 0.0, f"skipped: {reason}")
    inputs = Inputs(
        workspace,
        snapshot,
        {space: versions[space] for space in stage.inputs if space in versions},
        workspace.settings.paths.checkpoints / f"{stage.space}-{mark}",
    )
    progress(f"{stage.space}: training")
    train = importlib.import_module(stage.module).train
    processes.wait()  # until all have seen that the version is not there
    version: Version | None
    if processes.is_first():
        version = make_version(
            inputs,
            stage.space,
            mark,
            stage.parameters(workspace.settings),
            train,
            lambda message: progress(f"{stage.space}: {message}"),
        )
    else:
        help_train(inputs, train)
        version, _ = _up_to_date(workspace, snapshot, stage, versions)
    reason = "forced" if current is not None else "made"
    return Step(stage.space, version, True, time.perf_counter() - started, reason)


def _up_to_date(
    workspace: Workspace, snapshot: Snapshot, stage: Stage, versions: Mapping[str, Version]
) -> tuple[Version | None, str]:
    """The version that a run would make again, if there is one, and its fingerprint."""
    inputs = {space: versions[space] for space in stage.inputs if space in versions}
    mark = fingerprint(stage.space, snapshot.id, inputs, stage.parameters(workspace.settings), stage.revision)
    with transaction(workspace.engine) as session:
        return operations.latest_version(session, stage.space, mark), mark


def _on_the_road(snapshot: Snapshot) -> set[str]:
    return {stage.space for stage in STAGES if stage.table in snapshot.tables}


def _with_needs(spaces: Collection[str], given: Collection[str]) -> set[str]:
    wanted = set(spaces)
    for stage in reversed(STAGES):
        if stage.space in wanted and stage.space not in given:
            wanted.update(stage.inputs)
    return wanted
