"""From the live release and a later snapshot to a release of that snapshot by the same models."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.update.live import Live, find_live, require_same_settings
from pipelines.update.report import Report, compose
from registry import operations
from registry.database import transaction
from registry.models import Version
from twinvec.catalogue.snapshot import Snapshot
from twinvec.dag import parameters, up_to_date
from twinvec.errors import StateError
from twinvec.plugins import load_reference
from twinvec.progress import Count, Progress
from twinvec.releases import updating
from twinvec.releases.lookup import checked_name
from twinvec.releases.switching import settle
from twinvec.spaces import Space, spaces
from twinvec.stage import FROZEN, Inputs, Train, fingerprint, make_versions
from twinvec.tracking import log_report
from twinvec.vectors.locks import take_lock
from twinvec.vectors.publish import silent
from twinvec.workspace import Workspace

REVISION = 1


def update(
    workspace: Workspace,
    snapshot: Snapshot,
    full: bool = False,
    dry_run: bool = False,
    progress: Progress = lambda message: None,
    count: Count = silent,
    name: str | None = None,
) -> Report:
    """Bring the live release to a later snapshot with the models it has; nothing is trained.

    Whatever is made is found again by its fingerprint, so that an update that was interrupted goes on where it was,
    and ends as if it had not been. What is live changes in one step at the end.

    Args:
        workspace: Stores.
        snapshot: Snapshot that the release is to hold.
        full: Compute every vector, in place of those that changes reach. The result is the same.
        dry_run: Only report; nothing is changed.
        progress: Called with messages.
        count: Called with how much is uploaded.
        name: Name of the releases; that of related products if not given.

    Raises:
        StateError: If no release is live, it is of this snapshot already, settings differ from those it was made by,
            a space of it can only be trained, or another release went live meanwhile.
        StoreError: If a model is gone from MLflow, or another update is under way on this machine.
        GateError: If gates refuse the new release.
    """
    settings = workspace.settings
    name = checked_name(workspace, name)
    if dry_run:
        live = _find(workspace, snapshot, name)
        return compose(live, snapshot, settings, {}, None)
    lock_file = settings.paths.update_lock(name)
    with take_lock(lock_file, f"the live release of {name}", exclusive=True):
        finished = _finished(workspace, snapshot, name, progress)
        if finished is not None:
            return finished
        live = _find(workspace, snapshot, name)
        made = embed(workspace, live, snapshot, full, progress)
        version = made[live.space.name]
        progress("publishing")
        release = updating.publish_update(workspace, live.release, version, count)
        report = compose(live, snapshot, settings, made, release.label)
        record = report.record()
        log_report(settings, version.run_id, "update.json", record)
        updating.take_place(workspace, live.release, release, record, progress=count)
        return report


def _finished(workspace: Workspace, snapshot: Snapshot, name: str, progress: Progress) -> Report | None:
    """Return the report of an update to this snapshot that was killed while it went live, and is finished now."""
    said = settle(workspace, name)
    if said is None:
        return None
    progress(said)
    release = find_live(workspace, name).release
    record = release.verification.get(updating.RECORD)
    if record is None or release.version.snapshot_id != snapshot.id:
        return None
    return Report.from_record(record)


def _find(workspace: Workspace, snapshot: Snapshot, name: str) -> Live:
    live = find_live(workspace, name)
    if live.release.version.snapshot_id == snapshot.id:
        raise StateError(
            f"{live.release.label}, which is live, is of snapshot {snapshot.id} already",
            "`twinvec ingest` a later catalogue first, or name another snapshot with --snapshot",
        )
    require_same_settings(live, snapshot, workspace.settings)
    return live


def embed(
    workspace: Workspace, live: Live, snapshot: Snapshot, full: bool, progress: Progress
) -> dict[str, Version]:
    """Make a version of each space that the live release has, with its models; those that are there are found."""
    released = [space for space in spaces() if space.name in live.versions]
    progress("loading the models of the live release")
    carries: dict[str, Train] = {
        space.name: load_reference(space.update.function)(workspace, live, full)
        for space in released
        if space.update is not None and space.update.how == "carry"
    }
    made: dict[str, Version] = {}
    for space in released:
        assert space.update is not None  # `find_live` has refused the others
        if space.update.how == "keep":
            made |= {each.name: live.versions[each.name] for each in space.outcomes}
        elif space.update.how == "remake":
            made |= remake(workspace, space, snapshot, made, progress)
        else:
            train = carries[space.name]
            made |= _carry(workspace, space, live, snapshot, full, made, train, progress)
    return made


def _carry(
    workspace: Workspace,
    space: Space,
    live: Live,
    snapshot: Snapshot,
    full: bool,
    made: Mapping[str, Version],
    train: Train,
    progress: Progress,
) -> dict[str, Version]:
    """Return the versions of a space by its live model, made unless they are there.

    They are made from the version that was trained, whichever one vectors are taken over from: those are the same, and
    versions of earlier updates need not be kept.
    """
    assert space.update is not None
    first, *others = space.outcomes
    frozen = live.trainings[first.name]
    versions = {name: made[name] for name in space.update.reads if name in made} | {FROZEN: frozen}
    values = {"update": {"frozen": frozen.name, "full": full}}
    mark = fingerprint(first.name, snapshot.id, versions, values, REVISION)
    versions |= {f"{FROZEN} {other.name}": live.trainings[other.name] for other in others}
    return _find_or_make(workspace, snapshot, space, mark, versions, values, train, progress, REVISION)


def remake(
    workspace: Workspace, space: Space, snapshot: Snapshot, made: Mapping[str, Version], progress: Progress
) -> dict[str, Version]:
    """Return the versions of a space as a run makes them, from what the update has made so far."""
    current, mark = up_to_date(workspace, snapshot, space, made)
    if current:
        return current
    versions = {name: made[name] for name in space.inputs if name in made}
    values = parameters(space, workspace.settings)
    train: Train = load_reference(space.train)
    return _find_or_make(workspace, snapshot, space, mark, versions, values, train, progress, space.revision)


def _find_or_make(
    workspace: Workspace,
    snapshot: Snapshot,
    space: Space,
    mark: str,
    versions: Mapping[str, Version],
    values: Mapping[str, object],
    train: Train,
    progress: Progress,
    revision: int,
) -> dict[str, Version]:
    inputs = Inputs(workspace, snapshot, versions)
    first, *others = space.outcomes
    with transaction(workspace.engine) as session:
        latest = {first.name: operations.latest_version(session, first.name, mark)}
        for other in others:
            version = latest[first.name]
            if version is not None:
                made_from = inputs.of_outcome(other.name, first.name, {first.name: version})
                own = fingerprint(other.name, snapshot.id, made_from, values, revision)
                latest[other.name] = operations.latest_version(session, other.name, own)
    existing = {name: version for name, version in latest.items() if version is not None}
    if len(existing) == len(space.outcomes):
        return existing
    names = [each.name for each in space.outcomes]
    return make_versions(
        inputs, names, mark, values, train, lambda message: progress(f"{space.name}: {message}"), revision
    )
