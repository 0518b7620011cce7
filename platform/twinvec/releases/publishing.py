"""Publishing: a version's vectors become a collection and a feature service that nobody reads yet."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from registry.models import Release, State, Version
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.errors import NotFoundError, StateError, TwinvecError, VerificationError
from twinvec.releases import smoke
from twinvec.releases.attempts import begin, end, lock_file
from twinvec.releases.lookup import lineage, newest_of, searched_version
from twinvec.releases.points import read_points
from twinvec.settings.stores import QdrantSettings
from twinvec.spaces import Space, find_space, release_name
from twinvec.vectors import publish as publish_points
from twinvec.vectors.locks import take_lock
from twinvec.vectors.publish import Progress, SupersededError, silent
from twinvec.workspace import Workspace

GRAPH = ("m", "ef_construct", "full_scan_threshold")


def publish(workspace: Workspace, version: Version, progress: Progress = silent) -> Release:
    """Make a release of a version of a served space: its points in Qdrant, verified, and its service in Feast.

    Nothing that is live is touched. A version that has a release already, ready or live, which still holds what it
    held and meets the settings, is not published twice: that release is returned. A publish that was interrupted is
    gone on with, under the same number; one that fails leaves a release in state `failed`, with the error, and
    no collection. If two machines publish the same version, whoever began last goes on and the other stops.

    Returns:
        The release, in state `ready` if it is new, with what was verified.

    Raises:
        StateError: if versions of its space are not released, or it is not ready.
        VerificationError: if the version and its snapshot differ in products, the index is not what was sent,
            finds too little of what an exact search finds, or answers other than an earlier release of the same
            version did.
        SupersededError: if another machine has begun to publish the same version.
        StoreError: if another process of this machine is publishing, or a store refuses.
    """
    space = find_space(version.space)
    name = release_name(space, workspace.settings)
    if version.state != State.READY:
        raise StateError(
            f"{version.name} ({version.state}) cannot be published",
            f"publish a version of {space.name} that is ready; `twinvec status` lists them",
        )
    with take_lock(lock_file(workspace.settings, name), f"a new release of {name}", exclusive=True):
        earlier = newest_of(workspace, version)
        if earlier is not None and _still_good(workspace, space, earlier):
            return earlier
        release, attempt = begin(workspace, version, name)
        try:
            verification = _fill(workspace, space, release, earlier, attempt, progress)
        except Exception as error:  # whatever it was, it is recorded and goes on
            with suppress(SupersededError):
                end(workspace, release, attempt, State.FAILED, f"{type(error).__name__}: {error}"[:500])
                with suppress(TwinvecError):
                    workspace.index.drop(release.collection)
            raise
        return end(workspace, release, attempt, State.READY, "published and verified", verification)


def collection_metadata(release: Release) -> dict[str, str]:
    """Return what the collection of a release says of itself: where its vectors are from."""
    version = release.version
    return {
        "manifest": version.digest or "",
        "version": version.name,
        "snapshot": version.snapshot_id,
        "release": str(release.number),
    }


def _still_good(workspace: Workspace, space: Space, release: Release) -> bool:
    """Return whether a release is ready or live, meets the settings, is all there, and answers as it did."""
    if release.state not in (State.READY, State.LIVE):
        return False
    settings, verified = workspace.settings.qdrant, release.verification
    if "smoke" not in verified or verified["graph"] != _graph(settings) or verified["ef"] < settings.ef:
        return False
    recalls = [verified["recall_at_10"], *(tried["recall_at_10"] for tried in verified["filters"].values())]
    if min(recalls) < settings.min_recall:
        return False
    try:
        if workspace.index.count(release.collection) != verified["points"]:
            return False
        return not smoke.changed(verified["smoke"], smoke.ask(workspace, space, release))
    except NotFoundError:
        return False


def _fill(
    workspace: Workspace,
    space: Space,
    release: Release,
    earlier: Release | None,
    attempt: int,
    progress: Progress,
) -> dict[str, Any]:
    """Write the release to Qdrant and Feast; returns what was verified."""
    from twinvec.features.store import apply_release

    assert space.serving is not None
    settings, serving = workspace.settings, space.serving
    searched = searched_version(workspace, release.version)
    snapshot = open_snapshot(Path(release.version.snapshot.path))
    # A source vector is looked up by the product's id, so it is there only if products ask.
    asks = serving.asks if serving.asks.space == serving.searched.space else serving.searched
    verification = publish_points(
        workspace.index,
        release.collection,
        read_points(
            snapshot,
            searched,
            (asks.name, serving.searched.name),
            release.collection,
            settings.qdrant.batch,
            settings.ingest.memory_limit,
            serving.every_product,
        ),
        expected=snapshot.tables["products"] if serving.every_product else searched.rows or 0,
        dimension=searched.dimension or 0,
        metadata=collection_metadata(release),
        settings=settings.qdrant,
        progress=progress,
        attempt=attempt,
    )
    answers = smoke.ask(workspace, space, release)
    _require_same_answers(release, earlier, answers)
    apply_release(workspace.features, release, lineage(workspace, release.version_id), live=False)
    return asdict(verification) | {"graph": _graph(settings.qdrant), "smoke": answers}


def _require_same_answers(release: Release, earlier: Release | None, answers: smoke.Answers) -> None:
    saved = earlier.verification.get("smoke", {}) if earlier is not None else {}
    different = smoke.changed(saved, answers)
    if earlier is not None and different:
        raise VerificationError(
            f"{release.label} answers {len(different)} of {len(saved)} queries other than {earlier.label} of the "
            f"same version {release.version.name} did, {different[0]} first",
            "the files of the version were changed after it was made: make it again with "
            f"`twinvec train {release.version.space} --force`",
        )


def _graph(settings: QdrantSettings) -> dict[str, int]:
    return settings.model_dump(include=set(GRAPH))
