"""Stores that name the live release. One step, which can be repeated, brings each of them to a given state."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from registry import operations
from registry.database import transaction
from registry.models import Release, Version
from twinvec.errors import StateError, StoreError
from twinvec.releases.lookup import release_lineage
from twinvec.spaces import Space, has_collection, lists_space, served_as, spaces
from twinvec.workspace import Workspace

log = logging.getLogger(__name__)

# Space → alias (such as `live` and `previous`) → URI of the registered model's version, or None.
Models: TypeAlias = Mapping[str, Mapping[str, str | None]]


def set_service(workspace: Workspace, name: str, release: Release | None) -> None:
    """Make the feature service `name` that of `release`; remove it if `release` is None."""
    from twinvec.features.store import apply_release, find_service

    if release is not None:
        apply_release(workspace.features, release, release_lineage(workspace, release), live=True)
    elif find_service(workspace.features, name) is not None:
        workspace.features.delete_feature_service(name)


def read_models(workspace: Workspace, name: str) -> Models:
    """Return the aliases that releases of this name set, for every space with a registered model.

    Raises:
        StoreError: If MLflow does not answer.
    """
    with transaction(workspace.engine) as session:
        versions = operations.versions(session)
    served = served_as(workspace.settings, name)
    spaces = sorted(models_of(versions).keys() & _made_from(served))
    if not spaces:
        return {}
    from mlflow.exceptions import MlflowException

    from twinvec import tracking

    assert served.serving is not None
    settings, names = workspace.settings, served.serving.aliases
    try:
        return {
            space: {name: tracking.alias_uri(settings, space, name) for name in names} for space in spaces
        }
    except MlflowException as error:
        raise StoreError(
            f"MLflow does not tell the aliases of its models: {error}", "see that mlflow.tracking_uri answers"
        ) from error


def models_after(workspace: Workspace, before: Models, old: Release | None, new: Release) -> Models:
    """Return the aliases after `new` has replaced `old`.

    Each alias names the models of one release. A space without a model in that release has no such alias, so that
    nobody loads the models of two releases together under `live`, or under `previous`.
    """
    if not before:
        return before
    serving = served_as(workspace.settings, new.name).serving
    assert serving is not None
    alias, alias_before = serving.aliases
    live = models_of(release_lineage(workspace, new))
    if old is not None and old.id == new.id:
        return {space: {**aliases, alias: live.get(space)} for space, aliases in before.items()}
    previous = models_of(release_lineage(workspace, old)) if old is not None else {}
    return {space: {alias: live.get(space), alias_before: previous.get(space)} for space in before}


def require_models(workspace: Workspace, release: Release) -> None:
    """Check that the models of a release are registered, before a switch to it begins.

    Raises:
        StateError: If one is not.
        StoreError: If MLflow does not answer.
    """
    versions = [each for each in release_lineage(workspace, release) if each.model_uri is not None]
    if not versions:
        return
    from twinvec import tracking

    uris = {str(version.model_uri): version.name for version in versions}
    found = tracking.registered_models(workspace.settings, models_of(versions).keys())
    for uri, name in uris.items():
        if uri not in found:
            raise StateError(
                f"{release.label} cannot go live: {uri}, the model of {name}, is not registered in MLflow any more",
                "`twinvec doctor --fix` registers it again from its files; then promote again",
            )


def set_models(workspace: Workspace, models: Models, optional: bool = False) -> None:
    """Set the aliases of the registered models.

    Args:
        workspace: Stores.
        models: Space → alias → URI of the model, or None.
        optional: True if a model that is not registered any more loses its alias, and is no error: what was live
            must not keep a switch from ending.

    Raises:
        StoreError: If MLflow refuses.
    """
    if not models:
        return
    from mlflow.exceptions import MlflowException

    from twinvec import tracking

    try:
        for space, aliases in models.items():
            for alias, uri in aliases.items():
                there = uri is not None and (
                    not optional or uri in tracking.registered_models(workspace.settings, [space])
                )
                if uri is not None and there:
                    tracking.set_alias(workspace.settings, uri, alias)
                else:
                    if uri is not None:
                        log.warning(
                            "%s is not registered any more: %s of %s names nothing", uri, alias, space
                        )
                    tracking.remove_alias(workspace.settings, space, alias)
    except MlflowException as error:
        raise StoreError(
            f"MLflow refused to move the aliases of the models: {error}",
            "see that the model is still registered and that mlflow.tracking_uri answers",
        ) from error


def set_alias(workspace: Workspace, release: Release) -> None:
    """Point the alias that queries follow at `release`: in Qdrant, or in the registry if it has no collection."""
    if alias_at(workspace, release.name) == release.collection:
        return
    if has_collection(served_as(workspace.settings, release.name)):
        workspace.index.switch_alias(release.name, release.collection)
        return
    with transaction(workspace.engine) as session:
        operations.set_alias(session, release.name, release.collection)


def alias_at(workspace: Workspace, name: str) -> str | None:
    """Return the collection, or the release without one, that the alias `name` points at, or None."""
    if has_collection(served_as(workspace.settings, name)):
        return workspace.index.aliases().get(name)
    with transaction(workspace.engine) as session:
        return operations.aliases(session).get(name)


def _made_from(space: Space) -> set[str]:
    """Return the names of the spaces that a release of `space` may be made from, and its own."""
    lists = lists_space(space)
    heads = [space] if lists is None else [space, lists]
    names = {made.name for head in heads for made in head.outcomes}
    read = {name for head in heads for name in head.inputs}
    for each in reversed(spaces()):
        made = {outcome.name for outcome in each.outcomes}
        if made & read:
            names |= made
            read.update(each.inputs)
    return names


def models_of(versions: Sequence[Version]) -> dict[str, str]:
    """Return the name of each registered model → the URI of its version, the last one's of several.

    Models are registered under the name of the space that they were trained for.
    """
    uris = [version.model_uri for version in versions if version.model_uri is not None]
    return {uri.removeprefix("models:/").partition("/")[0]: uri for uri in uris}
