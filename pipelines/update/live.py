"""Live release: its versions, and the snapshot that they were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.graph.edges import resolve_direction
from registry import operations
from registry.database import transaction
from registry.models import Release, State, Version
from twinvec import digest, releases
from twinvec.catalogue.snapshot import Snapshot, open_snapshot
from twinvec.dag import changed_settings
from twinvec.errors import StateError
from twinvec.features.manifest import Manifest
from twinvec.releases.lookup import release_lineage
from twinvec.settings import Settings
from twinvec.spaces import Space, served_as, stage_of
from twinvec.workspace import Workspace


@dataclass(frozen=True)
class Live:
    """The live release.

    Attributes:
        space: Space whose version is released.
        release: Row of the release.
        versions: Space → version.
        trainings: Space → version whose training made the model: the release's own, unless it was updated before.
        trained_graph: Graph that the released version was trained on; None if it was trained on none.
    """

    space: Space
    release: Release
    versions: Mapping[str, Version]
    trainings: Mapping[str, Version]
    trained_graph: Version | None

    @property
    def trained(self) -> Version:
        """The released version, or the one whose training made its model."""
        return self.trainings[self.space.name]

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot that the release was made from."""
        return open_snapshot(Path(self.release.version.snapshot.path))

    @property
    def trained_snapshot(self) -> Snapshot:
        """Snapshot that its models were trained on."""
        return open_snapshot(Path(self.trained.snapshot.path))


def find_live(workspace: Workspace, name: str) -> Live:
    """Return the live release of a name.

    Raises:
        StateError: If none is live, what it needs was removed, or a space of it can only be trained.
    """
    space = served_as(workspace.settings, name)
    release = releases.live(workspace, name)
    if release is None:
        raise StateError(
            f"no release of {name} is live, so there is nothing to update",
            "`twinvec run` trains, publishes and promotes one",
        )
    versions = {version.space: version for version in release_lineage(workspace, release)}
    with transaction(workspace.engine) as session:
        trainings = {
            space: operations.trained(session.get_one(Version, version.id))
            for space, version in versions.items()
        }
        graph = next((each for each in trainings[space.name].inputs if each.space == "graph"), None)
    trained_only = [each for each in versions if stage_of(each).update is None]
    if trained_only:
        raise StateError(
            f"{release.label} cannot be updated: versions of {', '.join(trained_only)} are made by training alone",
            "`twinvec run` trains a release anew",
        )
    imported = [
        version.name
        for version in versions.values()
        if (update := stage_of(version.space).update) is not None
        and update.how == "carry"
        and Manifest.from_json(version.manifest).imported
    ]
    if imported:
        raise StateError(
            f"{release.label} cannot be updated: {', '.join(imported)} was imported, so there is no model that "
            "embeds new products",
            "import vectors for the later snapshot and publish them, or `twinvec run` trains a release",
        )
    needed = [*versions.values(), *trainings.values(), *([graph] if graph is not None else [])]
    for version in needed:
        if version.state != State.READY:
            raise StateError(
                f"{release.label} cannot be updated: {version.name}, which it was made from, is {version.state}",
                "`twinvec run` trains a release anew",
            )
    return Live(space, release, versions, trainings, graph)


def require_same_settings(live: Live, snapshot: Snapshot, settings: Settings) -> None:
    """Check that the settings build the graph and the model's inputs as they were for the live release.

    Raises:
        StateError: Naming the settings that differ.
    """
    direction = resolve_direction(settings.graph.direction, snapshot.directed)
    category = {"level": settings.category.level, "min_count": settings.category.min_count}
    expected = {
        "graph": {**settings.graph.deciding_as_before(), "direction": direction},
        "category": category,
        "related": settings.related.deciding_as_before(),
        "sellers": settings.sellers.model_dump(),
        "ranking": settings.ranking.deciding_lists(),
        "similar": settings.similar.deciding(),
    }
    for space, values in expected.items():
        version = live.versions.get(space)
        if version is None:
            continue
        if Manifest.from_json(version.manifest).preprocessing != digest.of_json(values):
            made_by, now = (version.settings or {}).get(space), getattr(settings, space).deciding()
            changed = changed_settings({space: made_by}, {space: now}) if made_by is not None else ""
            raise StateError(
                f"the settings `{space}` are others than those of {version.name}, which is live"
                + (f"; pairs are now directed by {direction}" if space == "graph" else "")
                + (f": {changed}" if changed else ""),
                "an update takes everything as it was: set them back, or `twinvec run` trains by the new ones",
            )
