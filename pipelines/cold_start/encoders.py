"""Encoders of a release for new products; encoders that do not belong to its index are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cold_start.description import read_paths
from pipelines.cold_start.neighbours import AlignedProducts, read_aligned
from pipelines.cold_start.ranking import NewProductRanker, open_ranker
from registry.models import Release, Version
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.errors import NotFoundError, StateError, VerificationError
from twinvec.features.manifest import Manifest
from twinvec.releases.lookup import all_releases, lineage
from twinvec.settings import Settings
from twinvec.spaces import spaces
from twinvec.workspace import Workspace

if TYPE_CHECKING:  # torch and MLflow take seconds to import: they are, when the models are loaded
    from pipelines.cold_start.models import Models


@dataclass(frozen=True)
class Encoders:
    """Encoders of one release for new products, loaded when they are first used.

    Attributes:
        settings: Settings, which name MLflow.
        collection: Collection of the release.
        versions: Space → version, all that the release was made from.
        lists: Version of its lists, which may have a ranker for new products.
    """

    settings: Settings
    collection: str
    versions: Mapping[str, Version]
    lists: Version | None = None

    @cached_property
    def paths(self) -> Sequence[tuple[str, ...]]:
        """The catalogue's categories."""
        return read_paths(open_snapshot(Path(self.versions["related"].snapshot.path)))

    @cached_property
    def models(self) -> Models:
        """The models, from MLflow."""
        from pipelines.cold_start.models import load_models

        return load_models(self.settings, self.versions)

    @cached_property
    def products(self) -> AlignedProducts:
        """Aligned vectors of the catalogue."""
        return read_aligned(self.versions["aligned"])

    @cached_property
    def ranker(self) -> NewProductRanker | None:
        """The ranker of new products, if the release has one."""
        if self.lists is None or "graph" not in self.versions:
            return None
        return open_ranker(self.settings, self.lists, self.versions["graph"], self.products)


def find_encoders(workspace: Workspace, collection: str) -> Encoders:
    """Return the encoders of the release of a collection.

    Raises:
        NotFoundError: If the registry has no such release.
        StateError: If the release was made without content, so that a new product cannot be encoded.
        VerificationError: If the collection, or a version, has another manifest than what was made from it says.
    """
    release = _release_of(workspace, collection)
    versions = {version.space: version for version in lineage(workspace, release.version_id)}
    _refuse_imported(release, versions)
    if "aligned" not in versions:
        raise StateError(
            f"{collection} was made without texts and images, so it has nothing to tell a new product by",
            "ingest a catalogue with titles, categories or images; `twinvec run` makes a release of it",
        )
    _verify(workspace.index.metadata(collection), release, versions)
    return Encoders(workspace.settings, collection, versions, release.lists)


def _refuse_imported(release: Release, versions: Mapping[str, Version]) -> None:
    """Refuse a release that has no encoder for a new product, because versions of it were imported."""
    hint = (
        "`twinvec run` makes a release by models of Twinvec; until then, ask with products of the catalogue"
    )
    encoding = {"aligned"} | {space.name for space in spaces() if space.encoder is not None}
    imported = [
        version.name
        for space, version in versions.items()
        if space in encoding and Manifest.from_json(version.manifest).imported
    ]
    if imported:
        raise StateError(
            f"{release.collection} cannot place a new product: {', '.join(imported)} was imported, so there is no "
            "encoder for it",
            hint,
        )
    if "aligned" not in versions and Manifest.from_json(release.version.manifest).imported:
        raise StateError(
            f"{release.collection} cannot place a new product: {release.version.name} was imported without aligned "
            "vectors, which tell what a product is like",
            f"import it again with `--from aligned`, and publish it; or {hint}",
        )


def _release_of(workspace: Workspace, collection: str) -> Release:
    for release in all_releases(workspace):
        if release.collection == collection:
            return release
    raise NotFoundError(
        f"the live collection {collection} is of no release in the registry",
        "see that registry.url and qdrant.url are of one installation; `twinvec status` lists the releases",
    )


def _verify(metadata: Mapping[str, str], release: Release, versions: Mapping[str, Version]) -> None:
    """Follow the digests of the manifests from the collection down to the encoders."""
    claims = [(release.collection, release.version.name, metadata.get("manifest"))]
    for version in versions.values():
        made_from = Manifest.from_json(version.manifest).inputs
        claims.extend((version.name, name, digest) for name, digest in made_from.items())
    held = {version.name: version.digest for version in versions.values()}
    for maker, name, digest in claims:
        if digest != held.get(name):
            raise VerificationError(
                f"{maker} was made from {name} with the manifest {digest}, and the registry's has {held.get(name)}: "
                f"its encoders do not belong to the index",
                "publish the version again, or see that registry.url and qdrant.url are of one installation",
            )
