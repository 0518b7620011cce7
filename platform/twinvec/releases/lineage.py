"""Lineage: the versions and snapshots that something was made from, and all that was made from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from graphlib import TopologicalSorter

from registry import operations
from registry.database import transaction
from registry.models import Move, Release, Version
from twinvec.errors import NotFoundError
from twinvec.releases.lookup import find
from twinvec.workspace import Workspace


@dataclass(frozen=True)
class Node:
    """A snapshot, a version or a release."""

    kind: str
    """`snapshot`, `version` or `release`."""
    name: str
    state: str | None
    """None for a snapshot, which has no states."""
    made_at: datetime
    run: str | None = None
    """MLflow run that made it."""

    @property
    def key(self) -> str:
        """Key of the node: kind and name, since a version and a release may have the same name."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Lineage:
    """Everything that one node was made from, and everything that was made from it."""

    about: Node
    nodes: Mapping[str, Node]
    """Nodes by key, parents before children."""
    edges: tuple[tuple[str, str], ...]
    """Keys of parent and child."""
    history: Sequence[Move]
    """Changes of state of the node that it is about and of its releases, oldest first."""

    def made_from(self, key: str) -> list[str]:
        """Return the keys of the direct parents of a node."""
        return [parent for parent, child in self.edges if child == key]

    def made_into(self, key: str) -> list[str]:
        """Return the keys of the direct children of a node."""
        return [child for parent, child in self.edges if parent == key]


def trace(workspace: Workspace, name: str) -> Lineage:
    """Return the lineage of a version (`related@v7`; `related` is the latest) or a release (`related_products@v7`).

    Failed versions have a lineage, too.

    Raises:
        NotFoundError: If there is neither of this name.
    """
    with transaction(workspace.engine) as session:
        version = operations.find_version(session, name)
        release = None if version is not None else _release(workspace, name)
        if version is None:
            assert release is not None
            version = release.version
        earlier = operations.lineage(session.get_one(Version, version.id))
        later = operations.descendants(session, version) if release is None else []
        releases = operations.releases_of(session, [version, *later]) if release is None else [release]
        history = operations.moves(session, [release] if release is not None else [version, *releases])
    return _lineage(release or version, [*earlier, *later], releases, history)


def _release(workspace: Workspace, name: str) -> Release:
    try:
        return find(workspace, name)
    except NotFoundError as error:
        raise NotFoundError(
            f"there is no version and no release {name}", "`twinvec status` lists those there are"
        ) from error


def _lineage(
    about: Version | Release,
    versions: Sequence[Version],
    releases: Iterable[Release],
    history: Sequence[Move],
) -> Lineage:
    nodes: dict[str, Node] = {}
    edges: list[tuple[str, str]] = []

    def add(node: Node, parents: Iterable[str]) -> None:
        nodes[node.key] = node
        edges.extend((parent, node.key) for parent in parents)

    for version in versions:
        origin = Node("snapshot", version.snapshot.id, None, version.snapshot.created_at)
        nodes.setdefault(origin.key, origin)
        # Other parents of a later version belong to other lineages.
        shown = [parent for parent in version.inputs if _node(parent).key in nodes]
        parents = [_node(parent).key for parent in shown]
        if all(parent.snapshot_id != version.snapshot_id for parent in shown):
            parents.append(origin.key)
        add(_node(version), parents)
    for release in releases:
        add(_node(release), [_node(release.version).key])
    return Lineage(_node(about), nodes, tuple(edges), history)


def _node(row: Version | Release) -> Node:
    if isinstance(row, Version):
        return Node("version", row.name, row.state, row.created_at, row.run_id)
    return Node("release", row.label, row.state, row.created_at, row.version.run_id)


def depths(lineage: Lineage) -> dict[str, int]:
    """Return key → length of the longest path to it from a snapshot, in topological order."""
    parents = {key: lineage.made_from(key) for key in lineage.nodes}
    depth: dict[str, int] = {}
    for key in TopologicalSorter(parents).static_order():
        depth[key] = max((depth[parent] + 1 for parent in parents[key]), default=0)
    return depth
