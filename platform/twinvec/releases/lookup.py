"""Finding of releases in the registry."""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import attrgetter

from registry import operations
from registry.database import transaction
from registry.models import WHOLE, Release, State, Version
from twinvec.errors import NotFoundError, StateError
from twinvec.features.manifest import Manifest
from twinvec.spaces import Space, find_space, lists_space, release_name, served_as
from twinvec.workspace import Workspace

LABEL = re.compile(r"(?:(?P<name>[a-z][a-z0-9_]*?)(?:@|__))?v?(?P<number>\d+)")


def checked_name(workspace: Workspace, name: str | None) -> str:
    """Return a name of releases, or the default one: that of related products.

    Raises:
        NotFoundError: If nothing is released under this name.
    """
    if name is None:
        return workspace.settings.release
    served_as(workspace.settings, name)
    return name


def all_releases(workspace: Workspace, name: str | None = None) -> Sequence[Release]:
    """Return every release of a name, or of the default one, oldest first."""
    with transaction(workspace.engine) as session:
        return operations.releases(session, checked_name(workspace, name))


def live(workspace: Workspace, name: str | None = None) -> Release | None:
    """Return the release of a name, or of the default one, that serves now, or None."""
    with transaction(workspace.engine) as session:
        return operations.live_release(session, checked_name(workspace, name))


def find(workspace: Workspace, label: str, name: str | None = None) -> Release:
    """Return the release called `related_products@v7`, or in short `v7` or `7`.

    Args:
        workspace: Stores.
        label: Label of the release.
        name: Name of the releases for a short label; the default one if not given.

    Raises:
        NotFoundError: If there is none.
    """
    match = LABEL.fullmatch(label)
    named = checked_name(workspace, (match["name"] if match is not None else None) or name)
    releases = all_releases(workspace, named)
    for release in releases:
        if match is not None and release.number == int(match["number"]):
            return release
    labels = ", ".join(release.label for release in releases) or "none yet"
    raise NotFoundError(f"there is no release {label}", f"there are: {labels}")


def waiting(workspace: Workspace, name: str | None = None) -> Release:
    """Return the newest release that is ready and newer than the live one: the default of a promotion.

    Raises:
        NotFoundError: If there is none.
    """
    name = checked_name(workspace, name)
    serving = live(workspace, name)
    for release in reversed(all_releases(workspace, name)):
        if release.state == State.READY and (serving is None or release.number > serving.number):
            return release
    where = f"{serving.label} is live, and nothing newer is ready" if serving else "none is ready"
    raise NotFoundError(
        f"there is no release of {name} to promote: {where}",
        "`twinvec publish` makes one; name an older one to promote it again",
    )


def newest_of(workspace: Workspace, version: Version, lists: Version | None = None) -> Release | None:
    """Return the newest whole release of a version with these lists, live or not, or None."""
    name = release_name(find_space(version.space), workspace.settings)
    whole = [
        release
        for release in all_releases(workspace, name)
        if release.version_id == version.id
        and release.lists_id == (lists.id if lists is not None else None)
        and release.state in WHOLE
    ]
    return whole[-1] if whole else None


def lineage(workspace: Workspace, version_id: int) -> list[Version]:
    """Return a version and its ancestors that serve with it, inputs first; see `operations.parts`."""
    with transaction(workspace.engine) as session:
        return operations.parts(session.get_one(Version, version_id))


def release_lineage(workspace: Workspace, release: Release) -> list[Version]:
    """Return all versions that serve in a release, inputs first; see `operations.release_parts`."""
    with transaction(workspace.engine) as session:
        return operations.release_parts(session.get_one(Release, release.id))


def lists_of(workspace: Workspace, version: Version) -> Version | None:
    """Return the newest usable version that lists the answers of `version`, or None.

    Raises:
        StateError: If `version` was trained on a graph and has no lists, though a space of lists is installed and
            its setting `required` is on: its release would answer worse than the others, and not say so.
    """
    space = lists_space(find_space(version.space))
    if space is None:
        return None
    with transaction(workspace.engine) as session:
        lists = operations.made_from(session, space.name, version)
    manifest = Manifest.from_json(version.manifest)
    trained = manifest.graph is not None and manifest.frozen is None and not manifest.imported
    assert space.listing is not None
    if lists is None and trained and attrgetter(space.listing.required)(workspace.settings):
        raise StateError(
            f"{version.name} has no lists of answers: no version of {space.name} was made from it",
            f"`twinvec train {space.name} --from {version.name}` makes one; "
            f"{space.listing.required}=false publishes vectors alone",
        )
    return lists


def searched_version(workspace: Workspace, version: Version) -> Version:
    """Return the version whose vectors are searched when `version` serves: itself, or its companion's.

    A version that serves without a search is returned itself.

    Raises:
        StateError: If versions of this space are not released.
        NotFoundError: If the companion's version is not among its inputs.
    """
    space = find_space(version.space)
    release_name(space, workspace.settings)
    assert space.serving is not None
    searched = space.serving.searched.space if space.serving.searched is not None else space.name
    if searched == space.name:
        return version
    for name in Manifest.from_json(version.manifest).inputs:
        if name.partition("@")[0] == searched:
            return workspace.version(name)
    raise NotFoundError(
        f"{version.name} was made from no version of {searched}",
        f"make it again: `twinvec train {space.name}`",
    )


def space_of(workspace: Workspace, release: Release) -> Space:
    """Return the space whose versions a release serves."""
    return served_as(workspace.settings, release.name)
