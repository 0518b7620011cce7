"""From the live release and a later snapshot to a release of that snapshot by the same models."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from pipelines.graph import pipeline as graph_pipeline
from pipelines.related.held_out import compare
from pipelines.update.live import Live, find_live, require_same_settings
from pipelines.update.report import Report, compose
from registry import operations
from registry.database import transaction
from registry.models import Version
from twinvec.catalogue.snapshot import Snapshot
from twinvec.dag import find_stage
from twinvec.errors import StateError
from twinvec.releases import updating
from twinvec.releases.switching import settle
from twinvec.stage import FROZEN, Inputs, Progress, Train, fingerprint, make_version
from twinvec.tracking import log_report
from twinvec.vectors.locks import take_lock
from twinvec.vectors.publish import Progress as Counter
from twinvec.vectors.publish import silent
from twinvec.workspace import Workspace

REVISION = 1


def update(
    workspace: Workspace,
    snapshot: Snapshot,
    full: bool = False,
    dry_run: bool = False,
    progress: Progress = lambda message: None,
    count: Counter = silent,
) -> Report:
    """Bring the live release to a later snapshot with the models it has; nothing is trained.

    Whatever is made is found again by its fingerprint, so that an update that was interrupted goes on where it was,
    and ends as if it had not been. What is live changes in one step at the end.

    Args:
        workspace: the stores.
        snapshot: what the release is to hold.
        full: compute every vector, in place of what changes reach. The result is the same.
        dry_run: only report; nothing is changed.
        progress: told what is going on.
        count: told how much is uploaded.

    Raises:
        StateError: if no release is live, it is of this snapshot already, settings differ from those it was made by,
            or another release went live meanwhile.
        StoreError: if a model is gone from MLflow, or another update is under way on this machine.
        GateError: if gates refuse the new release.
    """
    settings = workspace.settings
    if dry_run:
        live = _find(workspace, snapshot)
        return compose(live, snapshot, settings, {}, None)
    lock_file = settings.paths.update_lock(settings.release)
    with take_lock(lock_file, f"the live release of {settings.release}", exclusive=True):
        finished = _finished(workspace, snapshot, progress)
        if finished is not None:
            return finished
        live = _find(workspace, snapshot)
        made = embed(workspace, live, snapshot, full, progress)
        progress("publishing")
        release = updating.publish_update(workspace, live.release, made["related"], count)
        report = compose(live, snapshot, settings, made, release.label)
        record = report.record()
        log_report(settings, made["related"].run_id, "update.json", record)
        updating.take_place(workspace, live.release, release, record, compare, count)
        return report


def _finished(workspace: Workspace, snapshot: Snapshot, progress: Progress) -> Report | None:
    """The report of an update to this snapshot that was killed while it went live, and is finished now."""
    said = settle(workspace)
    if said is None:
        return None
    progress(said)
    release = find_live(workspace).release
    record = release.verification.get(updating.RECORD)
    if record is None or release.version.snapshot_id != snapshot.id:
        return None
    return Report.from_record(record)


def _find(workspace: Workspace, snapshot: Snapshot) -> Live:
    live = find_live(workspace)
    if live.versions["related"].snapshot_id == snapshot.id:
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
    from pipelines.update.aligned import carry_aligned
    from pipelines.update.content import carry_images, carry_text
    from pipelines.update.models import load_frozen
    from pipelines.update.related import carry_related

    progress("loading the models of the live release")
    models = load_frozen(workspace.settings, live)
    make = partial(_make, workspace, live, snapshot, full, progress)
    made = {"graph": make_graph(workspace, live, snapshot, progress)}
    content = models.content
    if content is not None:
        if content.text is not None:
            made["text"] = make("text", made, (), carry_text(live.versions["text"], content.text, full))
        if content.image is not None:
            made["image"] = make("image", made, (), carry_images(live.versions["image"], content.image, full))
        needed = ("graph", "text", "image")
        made["aligned"] = make("aligned", made, needed, carry_aligned(live, content.aligned, full))
    made["related"] = make("related", made, ("graph", "aligned"), carry_related(live, models.related, full))
    return made


def _make(
    workspace: Workspace,
    live: Live,
    snapshot: Snapshot,
    full: bool,
    progress: Progress,
    space: str,
    made: Mapping[str, Version],
    needed: tuple[str, ...],
    train: Train,
) -> Version:
    """The version of a space by its live model, made unless it is there.

    What it is made from is the version that was trained, whichever one vectors are taken over from: they are the same,
    and versions of earlier updates need not be kept.
    """
    frozen = live.trainings[space]
    versions = {name: made[name] for name in needed if name in made} | {FROZEN: frozen}
    parameters = {"update": {"frozen": frozen.name, "full": full}}
    mark = fingerprint(space, snapshot.id, versions, parameters, REVISION)
    return _find_or_make(workspace, snapshot, space, mark, versions, parameters, train, progress)


def make_graph(workspace: Workspace, live: Live, snapshot: Snapshot, progress: Progress) -> Version:
    """The graph as a run makes it, by the categories' associations of the live release."""
    stage = find_stage("graph")
    versions = {"category": live.versions["category"]} if "category" in live.versions else {}
    parameters = stage.parameters(workspace.settings)
    mark = fingerprint("graph", snapshot.id, versions, parameters, stage.revision)
    return _find_or_make(
        workspace, snapshot, "graph", mark, versions, parameters, graph_pipeline.train, progress
    )


def _find_or_make(
    workspace: Workspace,
    snapshot: Snapshot,
    space: str,
    mark: str,
    versions: Mapping[str, Version],
    parameters: Mapping[str, object],
    train: Train,
    progress: Progress,
) -> Version:
    with transaction(workspace.engine) as session:
        known = operations.latest_version(session, space, mark)
    if known is not None:
        return known
    inputs = Inputs(workspace, snapshot, versions)
    return make_version(
        inputs, space, mark, parameters, train, lambda message: progress(f"{space}: {message}")
    )
