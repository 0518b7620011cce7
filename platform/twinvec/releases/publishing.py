"""Publishing: write the vectors of a version to a new collection and feature service that nobody reads yet."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from registry.models import Release, State, Version
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.errors import NotFoundError, StateError, TwinvecError, VerificationError, in_short
from twinvec.plugins import load_reference
from twinvec.progress import Count, silent
from twinvec.releases import smoke
from twinvec.releases.attempts import begin, end, lock_file
from twinvec.releases.lookup import lists_of, newest_of, release_lineage, searched_version
from twinvec.releases.points import read_points
from twinvec.settings.stores import QdrantSettings
from twinvec.spaces import Space, find_space, has_collection, release_name
from twinvec.vectors import publish as publish_points
from twinvec.vectors.index import LISTS
from twinvec.vectors.locks import take_lock
from twinvec.vectors.publish import SupersededError
from twinvec.workspace import Workspace

GRAPH = ("m", "ef_construct", "full_scan_threshold")


def publish(workspace: Workspace, version: Version, progress: Count = silent) -> Release:
    """Make a release of a version of a served space: its points in Qdrant, verified, and its service in Feast.

    If a space lists the answers of this one, the release pins the newest of its versions that was made from `version`.

    The live release is not touched. If the version has a release already, ready or live, that is unchanged and meets
    the settings, this release is returned. A publish that was interrupted continues under the same number. A publish
    that fails leaves a release in state `failed`, with the error, and no collection. If two machines publish the same
    version, the one that began last continues and the other stops.

    Args:
        workspace: Stores.
        version: Version to publish.
        progress: Called with each step.

    Returns:
        The release, in state `ready` if it is new, with the figures of its verification.

    Raises:
        StateError: If versions of its space are not released, it is not ready, or has no lists though it should.
        VerificationError: If the version and its snapshot differ in products, the collection differs from the points
            that were sent, its recall against an exact search is too low, or it answers differently from an earlier
            release of the same version.
        SupersededError: If another machine has begun to publish the same version.
        StoreError: If another process of this machine is publishing, or a store refuses.
    """
    space = find_space(version.space)
    name = release_name(space, workspace.settings)
    if version.state != State.READY:
        raise StateError(
            f"{version.name} ({version.state}) cannot be published",
            f"publish a version of {space.name} that is ready; `twinvec status` lists them",
        )
    with take_lock(lock_file(workspace.settings, name), f"a new release of {name}", exclusive=True):
        lists = lists_of(workspace, version)
        earlier = newest_of(workspace, version, lists)
        if earlier is not None and _still_good(workspace, space, earlier):
            return earlier
        release, attempt = begin(workspace, version, name, lists)
        try:
            verification = _fill(workspace, space, release, earlier, attempt, progress)
        except Exception as error:  # any error is recorded and raised again
            with suppress(SupersededError):
                end(workspace, release, attempt, State.FAILED, in_short(error))
                if has_collection(space):
                    with suppress(TwinvecError):
                        workspace.index.drop(release.collection)
            raise
        return end(workspace, release, attempt, State.READY, "published and verified", verification)


def collection_metadata(release: Release) -> dict[str, str]:
    """Return the metadata of a release's collection: the origin of its vectors."""
    version, lists = release.version, release.lists
    metadata = {
        "manifest": version.digest or "",
        "version": version.name,
        "snapshot": version.snapshot_id,
        "release": str(release.number),
    }
    if lists is None:
        return metadata
    return metadata | {LISTS: lists.name, f"{LISTS}_manifest": lists.digest or ""}


def _still_good(workspace: Workspace, space: Space, release: Release) -> bool:
    """Return True if a release is ready or live, meets the settings, is complete, and answers as it did."""
    if release.state not in (State.READY, State.LIVE):
        return False
    if not has_collection(space):
        now = _verify_parts(workspace, space, release)
        return not smoke.changed(release.verification["smoke"], now["smoke"])
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
    progress: Count,
) -> dict[str, Any]:
    """Write the release to Qdrant and Feast; return the figures of its verification."""
    from twinvec.features.store import apply_release

    verification = (
        _fill_collection(workspace, space, release, attempt, progress)
        if has_collection(space)
        else _verify_parts(workspace, space, release)
    )
    _require_same_answers(release, earlier, verification["smoke"])
    apply_release(workspace.features, release, release_lineage(workspace, release), live=False)
    return verification


def _verify_parts(workspace: Workspace, space: Space, release: Release) -> dict[str, Any]:
    """Return the verification of a release without a collection, as its space declares it."""
    assert space.serving is not None
    assert space.serving.verify is not None
    figures: dict[str, Any] = load_reference(space.serving.verify)(workspace, release.version)
    return {**figures, "points": 0, "smoke": figures["answers"]}


def _fill_collection(
    workspace: Workspace, space: Space, release: Release, attempt: int, progress: Count
) -> dict[str, Any]:
    """Write the points of a release to Qdrant; return the figures of its verification."""
    assert space.serving is not None
    assert space.serving.fields is not None
    settings, serving = workspace.settings, space.serving
    asks, target = space.serving.fields
    searched = searched_version(workspace, release.version)
    snapshot = open_snapshot(Path(release.version.snapshot.path))
    # A source vector is looked up by the product's id, so only a collection that products ask needs it.
    source = asks if asks.space == target.space else target
    verification = publish_points(
        workspace.index,
        release.collection,
        read_points(
            snapshot,
            searched,
            (source.name, target.name),
            release.collection,
            settings.qdrant.batch,
            settings.ingest.memory_limit,
            serving.every_product,
            find_space(searched.space).entity,
        ),
        expected=snapshot.tables["products"] if serving.every_product else searched.rows or 0,
        dimension=searched.dimension or 0,
        metadata=collection_metadata(release),
        settings=settings.qdrant,
        progress=progress,
        attempt=attempt,
    )
    answers = smoke.ask(workspace, space, release)
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


def _graph(settings: QdrantSettings) -> dict[str, Any]:
    """Return the settings that the index of a release was built with; releases before quantisation had none."""
    names = set(GRAPH)
    if settings.quantization != "none":
        names.add("quantization")
    if settings.quantization == "auto":
        names.add("quantization_loss")
    return settings.model_dump(include=names)
