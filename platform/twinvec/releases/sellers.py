"""Publishing the sellers' space: candidates in Qdrant under an alias of their own, sellers in the online store.

It is the publishing of `related` without what that has for taking the place of a live release: a number, gates, a
journal of switches. A collection belongs to a version of the space `sellers` and bears its number; publishing an older
version again goes back to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from feast import FeatureService

from registry.models import Version
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.errors import StateError
from twinvec.features.manifest import Manifest
from twinvec.features.store import write_online
from twinvec.releases.points import read_points
from twinvec.vectors import publish as publish_points
from twinvec.vectors.locks import take_lock
from twinvec.vectors.publish import Progress, silent
from twinvec.vectors.verify import Verification
from twinvec.workspace import Workspace

SPACE = "sellers"
ALIAS = "seller_recommendations"
VERSION = "version"
"""Key of a collection's metadata: name of the version whose sellers ask it."""


@dataclass(frozen=True)
class Published:
    """What serves sellers now."""

    version: str
    collection: str
    verification: Verification


def products_of(workspace: Workspace, version: Version) -> Version:
    """The version of `seller_products` that the vectors of a version of `sellers` are compared with.

    Raises:
        StateError: if `version` is of another space.
    """
    if version.space != SPACE:
        raise StateError(f"{version.name} has no sellers", f"name a version of the space {SPACE}")
    (name,) = Manifest.from_json(version.manifest).inputs
    return workspace.version(name)


def publish_sellers(workspace: Workspace, version: Version, progress: Progress = silent) -> Published:
    """Put a version's candidates into a collection, verify it, and let the alias and the bare service name follow.

    Sellers are read from the online store, by the feature service `seller_recommendations`, and compared with the
    vector `target` of the points; `source` is the same. Publishing again goes on where a publish was interrupted.

    Raises:
        StateError: if the version is of another space.
        VerificationError: if the index is not what was sent; what served goes on serving.
        StoreError: if another process of this machine is publishing, or a store refuses.
    """
    products, settings = products_of(workspace, version), workspace.settings
    snapshot = open_snapshot(Path(version.snapshot.path))
    collection = f"{ALIAS}__v{version.number}"
    lock = settings.home / "releases" / f".{ALIAS}.publish"
    with take_lock(lock, f"a new release of {ALIAS}", exclusive=True):
        batches = read_points(
            snapshot, products, collection, settings.qdrant.batch, settings.ingest.memory_limit, part=True
        )
        verification = publish_points(
            workspace.index,
            collection,
            batches,
            expected=products.rows or 0,
            dimension=products.dimension or 0,
            metadata={VERSION: version.name, "manifest": version.digest or "", "snapshot": snapshot.id},
            settings=settings.qdrant,
            progress=progress,
        )
        view = workspace.features.get_feature_view(version.view)
        if not view.materialization_intervals:
            write_online(workspace.features, view, progress)
            view = workspace.features.get_feature_view(version.view)
        tags = {"collection": collection, "sellers": version.name, "products": products.name}
        workspace.features.apply(
            [FeatureService(name=name, features=[view], tags=tags) for name in (collection, ALIAS)]
        )
        workspace.index.switch_alias(ALIAS, collection)
    return Published(version.name, collection, verification)
