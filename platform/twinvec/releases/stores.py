"""The stores that say which release is live, each brought to a given state in one step that can be repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from registry import operations
from registry.database import transaction
from registry.models import Release, Version
from twinvec.errors import StoreError
from twinvec.releases.lookup import lineage
from twinvec.spaces import Space, served_as, spaces
from twinvec.workspace import Workspace

# Space → alias (such as `live` and `previous`) → the URI of the registered model's version that it names, or None.
Models: TypeAlias = Mapping[str, Mapping[str, str | None]]


def set_service(workspace: Workspace, name: str, release: Release | None) -> None:
    """Let the feature service `name` be that of `release`; take it away if there is none."""
    from twinvec.features.store import apply_release, find_service

    if release is not None:
        apply_release(workspace.features, release, lineage(workspace, release.version_id), live=True)
    elif find_service(workspace.features, name) is not None:
        workspace.features.delete_feature_service(name)


def read_models(workspace: Workspace, name: str) -> Models:
    """Return the aliases that releases of this name set, of every space that they may have a registered model of.

    Raises:
        StoreError: if MLflow does not answer.
    """
    with transaction(workspace.engine) as session:
        versions = operations.versions(session)
    served = served_as(workspace.settings, name)
    spaces = sorted(_models(versions).keys() & _made_from(served))
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
    """Return what the aliases are to be once `new` has taken the place of `old`.

    They name the models of one release each: a space that a release has no model of has no such alias, so that
    nobody loads the models of two releases together by asking for `live`, or for `previous`.
    """
    if not before:
        return before
    serving = served_as(workspace.settings, new.name).serving
    assert serving is not None
    alias, alias_before = serving.aliases
    live = _models(lineage(workspace, new.version_id))
    if old is not None and old.id == new.id:
        return {space: {**aliases, alias: live.get(space)} for space, aliases in before.items()}
    previous = _models(lineage(workspace, old.version_id)) if old is not None else {}
    return {space: {alias: live.get(space), alias_before: previous.get(space)} for space in before}


def set_models(workspace: Workspace, models: Models) -> None:
    """Let the aliases of the registered models be these.

    Raises:
        StoreError: if MLflow refuses.
    """
    if not models:
        return
    from mlflow.exceptions import MlflowException

    from twinvec import tracking

    try:
        for space, aliases in models.items():
            for alias, uri in aliases.items():
                if uri is not None:
                    tracking.set_alias(workspace.settings, uri, alias)
                else:
                    tracking.remove_alias(workspace.settings, space, alias)
    except MlflowException as error:
        raise StoreError(
            f"MLflow refused to move the aliases of the models: {error}",
            "see that the model is still registered and that mlflow.tracking_uri answers",
        ) from error


def set_alias(workspace: Workspace, release: Release) -> None:
    """Let the alias that queries follow be at the collection of `release`."""
    if alias_at(workspace, release.name) != release.collection:
        workspace.index.switch_alias(release.name, release.collection)


def alias_at(workspace: Workspace, name: str) -> str | None:
    """The collection that queries follow the alias `name` to."""
    return workspace.index.aliases().get(name)


def _made_from(space: Space) -> set[str]:
    """Return the names of the spaces that a release of `space` may be made from, and its own."""
    names = {made.name for made in space.outcomes}
    read = set(space.inputs)
    for each in reversed(spaces()):
        made = {outcome.name for outcome in each.outcomes}
        if made & read:
            names |= made
            read.update(each.inputs)
    return names


def _models(versions: Sequence[Version]) -> dict[str, str]:
    """Space → the URI of its model in MLflow; of several versions of a space, the last one's."""
    return {version.space: version.model_uri for version in versions if version.model_uri is not None}
