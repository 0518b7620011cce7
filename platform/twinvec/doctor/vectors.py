"""Checks of Qdrant: a collection of each whole release with its verified points, and the alias of the live one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from registry import operations
from registry.database import transaction
from registry.models import WHOLE, Release, State
from twinvec.doctor.finding import Finding
from twinvec.releases import stores
from twinvec.spaces import has_collection, release_names, served_as
from twinvec.workspace import Workspace

STORE = "Qdrant"


def check_collections(workspace: Workspace, _deep: bool) -> Iterator[Finding]:
    """Check that each collection exists, with the number of verified points and the manifest of its version."""
    index = workspace.index
    existing, releases = set(index.collections()), _whole(workspace)
    # An index without any of them may be the wrong one.
    ours = any(release.collection in existing for release in releases)
    for release in releases:
        where = f"collection {release.collection}"
        again = f"twinvec publish {release.version.name}, then twinvec promote"
        if release.collection not in existing:
            # A release that does not serve has nothing left to lose; its version can be published again.
            fix = partial(_write_off, workspace, release) if ours and release.state != State.LIVE else None
            yield Finding(
                STORE,
                where,
                f"is not there, and {release.label} is {release.state}",
                f"twinvec doctor --fix lets it be removed, {again} makes another"
                if fix is not None
                else f"see that qdrant.url is right; {again} makes another",
                fix,
            )
            continue
        points, verified = index.count(release.collection), release.verification.get("points")
        if points != verified:
            yield Finding(STORE, where, f"holds {points:,} points, not {verified or 0:,} as verified", again)
        digest = index.metadata(release.collection).get("manifest")
        if digest != release.version.digest:
            what = f"is of manifest {digest}, and {release.version.name} of {release.version.digest}"
            yield Finding(STORE, where, what, again)


def check_alias(workspace: Workspace, _deep: bool) -> Iterator[Finding]:
    """Check that Qdrant, the registry's rows and its map of aliases name the same live release."""
    for name in release_names(workspace.settings):
        yield from _alias(workspace, name)


def _alias(workspace: Workspace, name: str) -> Iterator[Finding]:
    with transaction(workspace.engine) as session:
        kept = operations.aliases(session).get(name)
        live = operations.live_release(session, name)
    collected = has_collection(served_as(workspace.settings, name))
    pointed = stores.alias_at(workspace, name)
    if live is None:
        if pointed is not None:
            yield Finding(
                STORE,
                f"alias {name}",
                f"points at {pointed}, and no release is live",
                f"twinvec promote {pointed}, if the registry has that release; else see that registry.url is right",
            )
        return
    if collected and pointed != live.collection:
        exists = live.collection in workspace.index.collections()
        yield Finding(
            STORE,
            f"alias {name}",
            f"points at {pointed or 'nothing'}, and {live.label} is live",
            "twinvec doctor --fix points it there" if exists else f"twinvec publish {live.version.name}",
            partial(workspace.index.switch_alias, name, live.collection) if exists else None,
        )
    if kept != live.collection:
        yield Finding(
            "registry",
            f"alias {name}",
            f"is kept as {kept or 'none'}, and {live.label} is live",
            "twinvec doctor --fix writes it down",
            partial(_keep_alias, workspace, live),
        )


def _whole(workspace: Workspace) -> list[Release]:
    with transaction(workspace.engine) as session:
        releases = [
            release
            for name in release_names(workspace.settings)
            if has_collection(served_as(workspace.settings, name))
            for release in operations.releases(session, name)
        ]
    return [release for release in releases if release.state in WHOLE]


def _write_off(workspace: Workspace, release: Release) -> None:
    with transaction(workspace.engine) as session:
        row = session.get_one(Release, release.id)
        who = workspace.settings.registry.user
        operations.move(session, row, State.REMOVED, "its collection was gone: twinvec doctor", who)


def _keep_alias(workspace: Workspace, live: Release) -> None:
    with transaction(workspace.engine) as session:
        operations.set_alias(session, live.name, live.collection)
