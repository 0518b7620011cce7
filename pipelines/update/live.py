"""What is live: the versions of a release, and what they were trained on."""

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
from twinvec.errors import StateError
from twinvec.features.manifest import Manifest
from twinvec.releases.lookup import lineage
from twinvec.settings import Settings
from twinvec.workspace import Workspace


@dataclass(frozen=True)
class Live:
    """The live release.

    Attributes:
        release: its row.
        versions: space → version.
        trainings: space → the version whose training made the model: the release's own, unless it was updated before.
        trained_graph: what the `related` one was trained on.
    """

    release: Release
    versions: Mapping[str, Version]
    trainings: Mapping[str, Version]
    trained_graph: Version

    @property
    def trained(self) -> Version:
        """The `related` version whose training made the model."""
        return self.trainings["related"]

    @property
    def snapshot(self) -> Snapshot:
        """What it was made from."""
        return open_snapshot(Path(self.versions["related"].snapshot.path))

    @property
    def trained_snapshot(self) -> Snapshot:
        """What its models were trained on."""
        return open_snapshot(Path(self.trained.snapshot.path))


def find_live(workspace: Workspace) -> Live:
    """Find what is live.

    Raises:
        StateError: if nothing is, or what it needs was removed.
    """
    release = releases.live(workspace)
    if release is None:
        raise StateError(
            f"no release of {workspace.settings.release} is live, so there is nothing to update",
            "`twinvec run` trains, publishes and promotes one",
        )
    versions = {version.space: version for version in lineage(workspace, release.version_id)}
    with transaction(workspace.engine) as session:
        trainings = {
            space: operations.trained(session.get_one(Version, version.id))
            for space, version in versions.items()
        }
        graph = next((each for each in trainings["related"].inputs if each.space == "graph"), None)
    if graph is None or "graph" not in versions:
        raise StateError(
            f"{trainings['related'].name} was made from no graph", "`twinvec run` trains a release that is"
        )
    for version in (*versions.values(), *trainings.values(), graph):
        if version.state != State.READY:
            raise StateError(
                f"{release.label} cannot be updated: {version.name}, which it was made from, is {version.state}",
                "`twinvec run` trains a release anew",
            )
    return Live(release, versions, trainings, graph)


def require_same_settings(live: Live, snapshot: Snapshot, settings: Settings) -> None:
    """See that the graph is built, and the model's inputs are made, as they were for the live release.

    Raises:
        StateError: naming the group of settings that differs.
    """
    direction = resolve_direction(settings.graph.direction, snapshot.directed)
    category = {"level": settings.category.level, "min_count": settings.category.min_count}
    wanted = {
        "graph": {**settings.graph.model_dump(), "direction": direction},
        "category": category,
        "related": settings.related.deciding_as_before(),
    }
    for space, values in wanted.items():
        version = live.versions.get(space)
        if version is None:
            continue
        if Manifest.from_json(version.manifest).preprocessing != digest.of_json(values):
            raise StateError(
                f"the settings `{space}` are others than those of {version.name}, which is live"
                + (f"; pairs are now directed by {direction}" if space == "graph" else ""),
                "an update takes everything as it was: set them back, or `twinvec run` trains by the new ones",
            )
