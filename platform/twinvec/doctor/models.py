"""Checks of MLflow: the run and the registered model of each version, and the alias of the live models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from registry import operations
from registry.database import transaction
from registry.models import State, Version
from twinvec.doctor.finding import Finding
from twinvec.errors import StoreError
from twinvec.releases.gates import RECORD
from twinvec.releases.lookup import release_lineage
from twinvec.spaces import release_names, served_as
from twinvec.workspace import Workspace

STORE = "MLflow"


def check_versions(workspace: Workspace, _deep: bool) -> Iterator[Finding]:
    """Check that every usable version has its run, and its model with files."""
    with transaction(workspace.engine) as session:
        versions = [each for each in operations.versions(session, [State.READY]) if each.run_id is not None]
    if not versions:
        return
    from twinvec.tracking import find_models, known_runs

    runs = known_runs(workspace.settings, {version.space for version in versions})
    uris = {version.model_uri for version in versions if version.model_uri is not None}
    models = find_models(workspace.settings, uris)
    for version in versions:
        again = (
            "see that mlflow.tracking_uri is right; to make another version: "
            f"twinvec train {version.space} --force"
        )
        if version.run_id not in runs:
            yield _run_gone(workspace, version, again)
        if version.model_uri is None:
            continue
        model = models.get(version.model_uri)
        if model is None:
            yield Finding(
                STORE,
                version.name,
                f"has the model {version.model_uri}, which is not registered",
                f"twinvec doctor --fix registers it again from its files; if they are gone, {again}",
                partial(_register_again, workspace, version.space),
            )
        elif model.location is None or (model.folder is not None and not model.folder.is_dir()):
            yield Finding(
                STORE, version.name, f"has the model {version.model_uri}, whose files are gone", again
            )


def _run_gone(workspace: Workspace, version: Version, again: str) -> Finding:
    from twinvec.tracking import is_deleted, restore_run

    run_id = str(version.run_id)
    if not is_deleted(workspace.settings, run_id):
        return Finding(STORE, version.name, f"was made by run {run_id}, which is not there", again)
    return Finding(
        STORE,
        version.name,
        f"was made by run {run_id}, which was deleted",
        "twinvec doctor --fix restores it, and its experiment",
        partial(restore_run, workspace.settings, run_id),
    )


def _register_again(workspace: Workspace, space: str) -> None:
    """Register all lost models of a space, since the new number of one may be the old number of another."""
    from twinvec.features.store import apply_version
    from twinvec.tracking import register_again, registered_models

    with transaction(workspace.engine) as session:
        ready = operations.versions(session, [State.READY])
        versions = [each for each in ready if each.space == space and each.model_uri is not None]
    uris = register_again(workspace.settings, versions)
    registered = registered_models(workspace.settings, [space])
    # Nothing to do is no fault: the fix of another version of the space may have registered all of them.
    if not uris and any(version.model_uri not in registered for version in versions):
        raise StoreError("its run logged no files", "bring MLflow's database back from a backup")
    with transaction(workspace.engine) as session:
        for id_, uri in uris.items():
            version = session.get_one(Version, id_)
            version.model_uri = uri
    for version in versions:
        if version.id in uris and version.has_view:
            version.model_uri = uris[version.id]
            apply_version(workspace.features, version)  # its tags name the model


def check_alias(workspace: Workspace, _deep: bool) -> Iterator[Finding]:
    """Check that the alias of the live models names those of the live release, and no others."""
    for name in release_names(workspace.settings):
        serving = served_as(workspace.settings, name).serving
        assert serving is not None
        yield from _alias(workspace, name, serving.aliases[0])


def _alias(workspace: Workspace, name: str, alias: str) -> Iterator[Finding]:
    from twinvec.releases.stores import models_of, read_models

    with transaction(workspace.engine) as session:
        live = operations.live_release(session, name)
    spaces = read_models(workspace, name).keys()
    lineage: Sequence[Version] = release_lineage(workspace, live) if live is not None else []
    # Version 0.1.0 made releases of sellers live without gates and without aliases of their models.
    never_switched = live is not None and RECORD not in live.verification
    if not spaces:
        return
    from twinvec.tracking import aliased_models, registered_models

    expected = models_of(lineage)
    registered = registered_models(workspace.settings, spaces)
    named = {
        uri.removeprefix("models:/").partition("/")[0]: uri
        for uri, aliases in aliased_models(workspace.settings, spaces).items()
        if alias in aliases
    }
    for space in sorted(spaces):
        uri = expected.get(space)
        if named.get(space) == uri or (never_switched and space not in named):
            continue
        fix = partial(_set_alias, workspace, space, alias, uri) if uri is None or uri in registered else None
        yield Finding(
            STORE,
            f"alias {alias} of {space}",
            f"names {named.get(space, 'nothing')}, and the live release has {uri or 'no model of it'}",
            "twinvec doctor --fix sets it"
            if fix is not None
            else f"twinvec train {space} --force, then twinvec run",
            fix,
        )


def _set_alias(workspace: Workspace, space: str, alias: str, uri: str | None) -> None:
    from twinvec.releases.stores import set_models

    set_models(workspace, {space: {alias: uri}})
