"""Outline of every pipeline: read the inputs, train in one MLflow run, write new versions.

A pipeline is a function that takes `Inputs` and the run and returns an `Outcome`. This module does what is the same
for every space: the version's number, the MLflow run, the files, the manifest, Feast, and last the registry.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from registry import operations
from registry.database import transaction
from registry.models import State, Version
from registry.snapshots import first_time
from twinvec import digest, files
from twinvec.catalogue.snapshot import Snapshot
from twinvec.columns import PRODUCT_ID
from twinvec.errors import in_short
from twinvec.nn import processes
from twinvec.progress import Progress
from twinvec.settings import Settings
from twinvec.spaces import all_spaces
from twinvec.workspace import Workspace

if TYPE_CHECKING:
    from pydantic import BaseModel

    from twinvec.features.manifest import Metric
    from twinvec.features.reading import Vectors
    from twinvec.tracking import Run

# Key of the version, of the same space, whose model an update uses as it is; of a further outcome, `frozen NAME`.
FROZEN = "frozen"
GroupT = TypeVar("GroupT", bound="BaseModel")


@dataclass(frozen=True)
class Inputs:
    """Inputs of a pipeline: one snapshot, and versions made from it.

    Attributes:
        workspace: Stores.
        snapshot: Opened snapshot.
        versions: Space → version; optional inputs without a version are absent. `FROZEN` is a version of the space
            itself, whose model is used and not trained.
        checkpoints: Folder of the checkpoints from which an interrupted training continues. The next training with
            the same inputs and settings gets the same folder; it is removed with the finished version. None keeps none.
    """

    workspace: Workspace
    snapshot: Snapshot
    versions: Mapping[str, Version]
    checkpoints: Path | None = None

    @property
    def settings(self) -> Settings:
        """All settings."""
        return self.workspace.settings

    def vectors(self, space: str, keys: Sequence[str]) -> Vectors:
        """Return the vectors of an input version, read through the feature store in the order of `keys`."""
        from twinvec.features.reading import read_vectors

        return read_vectors(self.workspace.features, self.versions[space], keys)

    def folder(self, space: str) -> Path:
        """Return the folder of an input version."""
        return Path(self.versions[space].path)

    def of_outcome(self, name: str, first: str, made: Mapping[str, Version]) -> Mapping[str, Version]:
        """Return the inputs of one of several outcomes: all for the first, and the first for each further one."""
        if name == first:
            return {key: each for key, each in self.versions.items() if not key.startswith(f"{FROZEN} ")}
        frozen = self.versions.get(f"{FROZEN} {name}")
        return {first: made[first]} | ({FROZEN: frozen} if frozen is not None else {})


@dataclass(frozen=True)
class Outcome:
    """Outcome of a pipeline.

    Attributes:
        keys: Product ids (or categories), each once.
        vectors: An array for each vector column, float32 [keys, dimension]; none for the graph, which has edges.
        metric: Comparison of two vectors.
        normalised: True if every vector has length one.
        model: Digest of the weights.
        preprocessing: Digest of the steps before the model.
        metrics: Figures of the version's quality.
        log_model: Function that logs the model to MLflow and returns its URI; called within the run.
        entity: Column of the keys.
        write: Function that writes further files into the version's folder.
        columns: Columns of a table in place of vectors, a list or a value for each key.
        tables: Function that returns the rows of such a table in batches, with their keys, where they may not fit in
            memory; `keys` is empty then.
        also: Further columns of the key, of a table whose rows one column does not identify.
    """

    keys: Sequence[str]
    vectors: Mapping[str, npt.NDArray[np.float32]]
    metric: Metric
    normalised: bool
    model: str
    preprocessing: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    log_model: Callable[[], str] | None = None
    entity: str = PRODUCT_ID
    write: Callable[[Path], None] = lambda folder: None
    columns: Mapping[str, pa.Array] = field(default_factory=dict)
    tables: Callable[[], Iterable[pa.Table]] | None = None
    also: tuple[str, ...] = ()


# The training of a space with companions returns an outcome for each space.
Train = Callable[[Inputs, "Run", Progress], Outcome | Mapping[str, Outcome]]


def fingerprint(
    space: str, snapshot_id: str, versions: Mapping[str, Version], settings: Mapping[str, Any], revision: int
) -> str:
    """Return the digest of all inputs of a version; a version with the same fingerprint need not be made again."""
    return digest.of_json(
        {
            "space": space,
            "snapshot": snapshot_id,
            "inputs": {name: version.digest for name, version in versions.items()},
            "settings": settings,
            "revision": revision,
        }
    )


def make_version(
    inputs: Inputs, name: str, mark: str, parameters: Mapping[str, Any], train: Train, progress: Progress
) -> Version:
    """Run `train` and keep its outcome as the next version of one space; see `make_versions`."""
    return make_versions(inputs, (name,), mark, parameters, train, progress)[name]


def make_versions(
    inputs: Inputs,
    names: Sequence[str],
    mark: str,
    parameters: Mapping[str, Any],
    train: Train,
    progress: Progress,
    revision: int = 1,
) -> dict[str, Version]:
    """Run `train` and keep its outcomes as the next versions of their spaces.

    Numbers are reserved first and the versions made `ready` last and together, so that a failure at any point leaves
    versions in state `failed` that nobody reads, and no half-written folder. The first outcome is made from the
    inputs, each further one from the first. The last one gives the run its name, its metrics and its model.

    Args:
        inputs: Inputs of the training.
        names: Spaces of the outcomes, companions first.
        mark: Fingerprint of the first outcome.
        parameters: Settings, which are logged with the run.
        train: Training.
        progress: Called with messages.
        revision: Revision of the space's code; part of the further fingerprints.

    Returns:
        Space → version.
    """
    from twinvec.tracking import describe_model, describe_version, logged_files, start_run, with_figures

    workspace = inputs.workspace
    row = workspace.snapshot_row(inputs.snapshot.id)
    first, main = names[0], names[-1]
    of_space = next((space.description for space in all_spaces() if space.name == main), "")
    versions: dict[str, Version] = {}
    with transaction(workspace.engine) as session:
        as_of, previous = first_time(session, row), operations.latest_version(session, main)
        for name in names:
            parents = [session.merge(each) for each in inputs.of_outcome(name, first, versions).values()]
            path = str(workspace.settings.paths.version(name, "{number}"))
            versions[name] = operations.begin_version(session, name, inputs.snapshot.id, mark, parents, path)
    try:
        made_from = tuple(inputs.versions.values())
        name = versions[main].name
        description = describe_version(name, row, as_of, made_from, parameters, previous)
        with start_run(
            workspace.settings, main, name, parameters, row, made_from, description, of_space
        ) as run:
            for version in versions.values():
                version.run_id = run.id
                version.settings = {**parameters}
            trained = train(inputs, run, progress)
            outcomes = {main: trained} if isinstance(trained, Outcome) else trained
            run.log_best(outcomes[main].metrics)
            description = with_figures(description, outcomes[main].metrics)
            run.describe(description)
            log_model = outcomes[main].log_model
            if log_model is not None:
                versions[main].model_uri = log_model()
                uri = str(versions[main].model_uri)
                versions[main].model_files = logged_files(workspace.settings, uri)
                describe_model(workspace.settings, uri, of_space, description)
            for name, version in versions.items():
                parts = inputs.of_outcome(name, first, versions)
                if name != first:
                    version.fingerprint = fingerprint(name, row.id, parts, parameters, revision)
                _keep(replace(inputs, versions=parts), version, outcomes[name], run)
    except BaseException as error:
        for version in versions.values():
            version.error = in_short(error)
        _record(workspace, versions, State.FAILED, "its training failed")
        raise
    versions = _record(workspace, versions, State.READY, "made")
    processes.wait()  # the others may still read the checkpoints
    if inputs.checkpoints is not None:
        shutil.rmtree(inputs.checkpoints, ignore_errors=True)
    return versions


def help_train(inputs: Inputs, train: Train) -> None:
    """Train along with the first process, which makes the version, until it is there; see `twinvec.nn.processes`."""
    from twinvec.tracking import SilentRun

    train(inputs, SilentRun("", ""), lambda message: None)
    processes.wait()


def _keep(inputs: Inputs, version: Version, outcome: Outcome, run: Run) -> None:
    """Write the files, then register the view; the registry's row is still `building`."""
    from twinvec.features.manifest import Manifest, write_manifest
    from twinvec.features.store import apply_history, apply_snapshot, apply_version
    from twinvec.features.vectors import write_table, write_tables, write_vectors

    dimensions = {vectors.shape[1] for vectors in outcome.vectors.values()}
    graph, frozen = inputs.versions.get("graph"), inputs.versions.get(FROZEN)
    rows, types = len(outcome.keys), {name: str(column.type) for name, column in outcome.columns.items()}
    workspace = inputs.workspace
    snapshot = workspace.snapshot_row(inputs.snapshot.id)
    with transaction(workspace.engine) as session:
        moment = first_time(session, snapshot)
    with files.new_folder(Path(version.path)) as folder:
        outcome.write(folder)
        if outcome.vectors:
            write_vectors(folder, outcome.entity, outcome.keys, outcome.vectors, moment)
        if outcome.columns:
            write_table(folder, outcome.entity, outcome.keys, outcome.columns, moment)
        if outcome.tables is not None:
            keys = (outcome.entity, *outcome.also)
            rows, types = write_tables(folder, keys, outcome.tables(), moment)
        manifest = Manifest(
            space=version.space,
            entity=outcome.entity,
            fields=(*outcome.vectors, *types),
            dimension=dimensions.pop() if dimensions else 0,
            metric=outcome.metric,
            normalised=outcome.normalised,
            rows=rows,
            snapshot=inputs.snapshot.id,
            graph=graph.digest if graph else None,
            model=outcome.model,
            preprocessing=outcome.preprocessing,
            inputs={
                parent.name: parent.digest or "" for key, parent in inputs.versions.items() if key != FROZEN
            },
            frozen=frozen.name if frozen is not None else None,
            types=types or None,
            also=outcome.also or None,
        )
        version.files = files.digests(folder)
        write_manifest(folder, manifest)
    run.log_manifest(manifest.digest, manifest.to_json())
    version.digest, version.manifest = manifest.digest, manifest.to_json()
    version.rows, version.dimension = manifest.rows, manifest.dimension or None
    version.metrics = dict(outcome.metrics)
    if version.has_view:
        apply_snapshot(workspace.features, workspace.settings, snapshot, moment)
        apply_history(workspace.features, workspace.settings, workspace.engine)
        apply_version(workspace.features, version)


def _record(
    workspace: Workspace, versions: Mapping[str, Version], state: State, why: str
) -> dict[str, Version]:
    with transaction(workspace.engine) as session:
        rows = {name: session.merge(version) for name, version in versions.items()}
        for row in rows.values():
            operations.move(session, row, state, why, workspace.settings.registry.user)
        return rows
