"""Going live and going back: the feature service, the models' aliases and the index switch together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from registry import operations
from registry.database import lock, transaction
from registry.models import WHOLE, Release, Version
from twinvec.errors import StateError, StoreError, VerificationError
from twinvec.releases.lookup import lineage, release_name
from twinvec.settings import Settings
from twinvec.vectors.publish import Progress, silent
from twinvec.workspace import Workspace


def promote(workspace: Workspace, release: Release, progress: Progress = silent) -> Release:
    """Make `release` the live one; promoting the live one again puts right what differs from it.

    What takes long comes first and changes nothing for readers: the vectors go into the online store under the
    names of their versions. Then, within one transaction of the registry: the live feature service, the models'
    aliases, and last the alias that queries follow. An exception anywhere puts back what was switched, in reverse.

    Returns:
        The release, in state `live`.

    Raises:
        StateError: if the release is not whole.
        VerificationError: if its collection has lost or gained points since it was verified.
        StoreError: if a store refuses.
    """
    _require_whole(workspace, release)
    new = lineage(workspace, release.version_id)
    _put_online(workspace, release, progress)
    _load_models_client(new)
    with ExitStack() as undo:
        with transaction(workspace.engine) as session:
            # Whoever promotes at the same time waits here, and then finds this one live.
            lock(session.connection(), f"releases of {release.name}")
            row = session.get_one(Release, release.id)
            old = operations.live_release(session, release.name)
            before = operations.lineage(old.version) if old is not None else []
            operations.make_live(session, row)
            progress("feature service", 0, 1)
            _switch_service(workspace, row, new, undo)
            progress("models", 0, 1)
            _switch_models(workspace.settings, _models(before), _models(new), undo)
            progress("alias", 0, 1)
            _switch_alias(workspace, row, undo)
        undo.pop_all()
    return row


def rollback(workspace: Workspace, progress: Progress = silent) -> Release:
    """Promote the release that was live before this one; again, the one before that.

    Raises:
        StateError: if there is none.
    """
    name = workspace.settings.release
    with transaction(workspace.engine) as session:
        previous = operations.previous_release(session, name)
        serving = operations.live_release(session, name)
    if previous is None:
        now = f"{release_name(serving)} is live, and none" if serving else "none is live, and none"
        raise StateError(
            f"there is no release of {name} to go back to: {now} was live before",
            "`twinvec promote RELEASE` promotes any that is ready; `twinvec status` lists them",
        )
    return promote(workspace, previous, progress)


def _require_whole(workspace: Workspace, release: Release) -> None:
    if release.state not in WHOLE:
        raise StateError(
            f"{release_name(release)} is {release.state}" + (f": {release.error}" if release.error else ""),
            "publish it first: `twinvec publish` goes on with one that was interrupted",
        )
    points, verified = workspace.index.count(release.collection), release.verification["points"]
    if points != verified:
        raise VerificationError(
            f"{release.collection} holds {points:,} points, and {verified:,} when it was verified",
            "publish its version again",
        )


def _put_online(workspace: Workspace, release: Release, progress: Progress) -> None:
    from twinvec.features.store import materialize_release

    if workspace.settings.feast.materialize:
        materialize_release(
            workspace.features, release, lambda view, done, total: progress(f"online {view}", done, total)
        )


def _switch_service(
    workspace: Workspace, release: Release, versions: Sequence[Version], undo: ExitStack
) -> None:
    from twinvec.features.store import apply_release, find_service

    store = workspace.features
    held = find_service(store, release.name)
    if held is not None:
        undo.callback(store.apply, [held])
    else:
        undo.callback(_remove_service, workspace, release.name)
    apply_release(store, release, versions, live=True)


def _remove_service(workspace: Workspace, name: str) -> None:
    from twinvec.features.store import find_service

    if find_service(workspace.features, name) is not None:
        workspace.features.delete_feature_service(name)


def _models(versions: Sequence[Version]) -> dict[str, str]:
    """Space → the URI of its model in MLflow."""
    return {version.space: version.model_uri for version in versions if version.model_uri is not None}


def _load_models_client(versions: Sequence[Version]) -> None:
    # MLflow takes seconds to import, in which the registry should not be locked.
    if _models(versions):
        import twinvec.tracking  # noqa: F401


def _switch_models(
    settings: Settings, old: Mapping[str, str], new: Mapping[str, str], undo: ExitStack
) -> None:
    """Point `live` at the new release's models, and `previous` at those they take the place of."""
    if not old and not new:
        return
    from mlflow.exceptions import MlflowException

    from twinvec import tracking

    try:
        for space in sorted(old.keys() | new.keys()):
            held = {
                alias: tracking.alias_uri(settings, space, alias)
                for alias in (tracking.LIVE, tracking.PREVIOUS)
            }
            wanted = dict(held)
            wanted[tracking.LIVE] = new.get(space)
            if space in old and old[space] != new.get(space):
                wanted[tracking.PREVIOUS] = old[space]
            undo.callback(_put_aliases, settings, space, held)
            _put_aliases(settings, space, wanted)
    except MlflowException as error:
        raise StoreError(
            f"MLflow refused to move the aliases of the models: {error}",
            "see that the model is still registered and that mlflow.tracking_uri answers",
        ) from error


def _put_aliases(settings: Settings, space: str, aliases: Mapping[str, str | None]) -> None:
    from twinvec import tracking

    for alias, uri in aliases.items():
        if uri is not None:
            tracking.set_alias(settings, uri, alias)
        else:
            tracking.remove_alias(settings, space, alias)


def _switch_alias(workspace: Workspace, release: Release, undo: ExitStack) -> None:
    held = workspace.index.aliases().get(release.name)
    if held is not None:
        undo.callback(workspace.index.switch_alias, release.name, held)
    workspace.index.switch_alias(release.name, release.collection)
