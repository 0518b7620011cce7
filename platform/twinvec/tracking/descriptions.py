"""Descriptions that MLflow's page shows of runs and registered models: what a person compares them by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from mlflow import MlflowClient

from registry.models import Snapshot, Version
from twinvec.settings import Settings
from twinvec.tracking.models import MODELS
from twinvec.tracking.naming import differences
from twinvec.tracking.store import explained, use_store

# Changed settings, and figures, that a description names.
SHOWN = 8


def describe_version(
    name: str,
    snapshot: Snapshot,
    as_of: datetime,
    inputs: Sequence[Version],
    parameters: Mapping[str, object],
    previous: Version | None,
) -> str:
    """Return what a version is made from, and how it differs from the one before it, in Markdown.

    Args:
        name: Name of the version.
        snapshot: Snapshot that it is made from.
        as_of: Time that the snapshot is of.
        inputs: Versions that it is made from.
        parameters: Settings that decide it, by group.
        previous: Version of the same space before it; None if it is the first.
    """
    described = [
        f"**{name}**, from snapshot `{snapshot.id}` as of {as_of:%Y-%m-%d %H:%M} UTC: "
        f"{snapshot.products:,} products, `{snapshot.format}`."
    ]
    if inputs:
        described.append(f"Made from {', '.join(sorted(version.name for version in inputs))}.")
    if previous is not None:
        changes = _changes(snapshot, inputs, parameters, previous)
        described.append(f"Beside {previous.name}: {'; '.join(changes) or 'made again, from the same'}.")
    return "\n\n".join(described)


def _changes(
    snapshot: Snapshot, inputs: Sequence[Version], parameters: Mapping[str, object], previous: Version
) -> list[str]:
    changes = []
    if previous.snapshot_id != snapshot.id:
        changes.append(f"snapshot `{snapshot.id}`, was `{previous.snapshot_id}`")
    before = {version.space: version.name for version in previous.inputs}
    changes += [
        f"{version.name}, was {before[version.space]}"
        for version in inputs
        if before.get(version.space, version.name) != version.name
    ]
    if previous.settings is not None:
        differing = differences(previous.settings, parameters)
        changes += [f"`{key}` {new}, was {old}" for key, old, new in differing[:SHOWN]]
        if len(differing) > SHOWN:
            changes.append(f"{len(differing) - SHOWN} more settings")
    return changes


def with_figures(description: str, figures: Mapping[str, float]) -> str:
    """Return a description with the figures of the version's quality."""
    shown = [f"{name} {value:.4g}" for name, value in list(figures.items())[:SHOWN]]
    return f"{description}\n\n{', '.join(shown)}." if shown else description


def describe_model(settings: Settings, uri: str, of_model: str, of_version: str) -> None:
    """Show descriptions on the pages of a registered model and of its version, unless they have some.

    Args:
        settings: Name the tracking store.
        uri: URI of the version, `models:/<space>/<MLflow's own version number>`.
        of_model: Description of the model.
        of_version: Description of the version.
    """
    use_store(settings)
    space, _, number = uri.removeprefix(MODELS).partition("/")
    client = MlflowClient()
    with explained(f"describe {uri}"):
        if of_model and not client.get_registered_model(space).description:
            client.update_registered_model(space, of_model)
        if not client.get_model_version(space, number).description:
            client.update_model_version(space, number, of_version)
