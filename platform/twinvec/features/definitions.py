"""Feast's objects, built from the registry's rows.

A feature view per embedding version and one per snapshot's scalars; a feature service per release, and one
of the release's bare name that follows the live release.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Array, FeastType, Float32, Float64, Int32, Int64, String

from registry.models import Release, Version
from twinvec.columns import EVENT_TIMESTAMP, PRODUCT_ID
from twinvec.errors import StateError
from twinvec.features import vectors
from twinvec.features.manifest import Manifest
from twinvec.features.scalars import SCALARS
from twinvec.spaces import PRODUCTS, QUERIES, all_spaces

# Feast's names of the metrics, as its PostgreSQL store reads them.
METRICS = {"cosine": "cosine", "dot": "inner_product"}
# Types of the columns of tables, by their names in pyarrow.
TYPES: dict[str, FeastType] = {
    "list<item: string>": Array(String),
    "list<item: float>": Array(Float32),
    "list<item: int32>": Array(Int32),
    "int64": Int64,
    "string": String,
    "float": Float32,
    "double": Float64,
}
FOREVER = timedelta(0)
# View of the product scalars of all snapshots.
HISTORY = "products_history"


@cache
def entities() -> dict[str, Entity]:
    """Return the Feast entity of each key column that a space declares; products and queries always have one."""
    declared = {PRODUCTS, QUERIES, *(space.entity for space in all_spaces())}
    return {
        entity.key: Entity(
            name=entity.name,
            join_keys=[entity.key],
            value_type=ValueType.STRING,
            description=entity.description,
        )
        for entity in sorted(declared, key=lambda entity: entity.name)
    }


def version_view(version: Version) -> FeatureView:
    """Return the feature view of a version, `text__v3`, over its Parquet files."""
    manifest = Manifest.from_json(version.manifest)
    tags = {
        "version": version.name,
        "space": version.space,
        "snapshot": manifest.snapshot,
        "inputs": ",".join(sorted(manifest.inputs)),
        "manifest": manifest.digest,
        "mlflow_run": version.run_id or "",
        "mlflow_model": version.model_uri or "",
    }
    if manifest.types is None:
        columns = _vector_fields(version, manifest)
        contents = f"{manifest.rows} vectors of {manifest.dimension} numbers"
        tags |= {
            "dimension": str(manifest.dimension),
            "metric": manifest.metric,
            "normalised": str(manifest.normalised).lower(),
        }
    else:
        columns = [Field(name=name, dtype=TYPES[manifest.types[name]]) for name in manifest.fields]
        contents = f"{', '.join(manifest.fields)} of {manifest.rows} keys"
    return FeatureView(
        name=version.view,
        entities=[entities()[key] for key in manifest.keys],
        ttl=FOREVER,
        source=_source(version.view, Path(version.path) / vectors.FOLDER),
        schema=[*(Field(name=key, dtype=String) for key in manifest.keys), *columns],
        tags=tags,
        description=f"{version.name}: {contents}.",
    )


def _vector_fields(version: Version, manifest: Manifest) -> list[Field]:
    """Return the fields of a version's vectors. Feast indexes one field a view: that which is searched."""
    # Alignments are spaces that nobody declares, and a package that declared one may be gone.
    serving = next((space.serving for space in all_spaces() if space.name == version.space), None)
    searched = manifest.fields[-1]
    if serving is not None and serving.searched is not None and serving.searched.name in manifest.fields:
        searched = serving.searched.name
    return [
        Field(
            name=field,
            dtype=Array(Float32),
            vector_index=field == searched,
            vector_length=manifest.dimension,
            vector_search_metric=METRICS[manifest.metric],
        )
        for field in manifest.fields
    ]


def scalars_view(snapshot_id: str, folder: Path) -> FeatureView:
    """Return the feature view of a snapshot's product scalars, `products__<snapshot id>`."""
    return _scalars(
        scalars_name(snapshot_id),
        folder,
        {"snapshot": snapshot_id},
        f"Title, category, price, currency, marketplace and brand in snapshot {snapshot_id}.",
    )


def history_view(folder: Path) -> FeatureView:
    """Return the feature view of the product scalars of all snapshots, each from the time that it is of."""
    return _scalars(
        HISTORY,
        folder,
        {},
        "Title, category, price, currency, marketplace and brand at a time: those of the latest snapshot then, "
        "nothing for a product that it does not have.",
    )


def _scalars(name: str, folder: Path, tags: dict[str, str], description: str) -> FeatureView:
    return FeatureView(
        name=name,
        entities=[entities()[PRODUCT_ID]],
        ttl=FOREVER,
        source=_source(name, folder),
        schema=[
            Field(name=PRODUCT_ID, dtype=String),
            *(Field(name=field, dtype=Float64 if field == "price" else String) for field in SCALARS),
        ],
        tags=tags,
        description=description,
    )


def scalars_name(snapshot_id: str) -> str:
    """Return the name of the view of a snapshot's scalars."""
    return f"products__{snapshot_id}"


def _source(name: str, folder: Path) -> FileSource:
    # The folder, not a pattern of files: Feast reads the schema with pyarrow, which knows no patterns.
    return FileSource(
        name=name, path=str(folder.absolute()), timestamp_field=EVENT_TIMESTAMP, file_format=ParquetFormat()
    )


def released_entity(lineage: Sequence[Version]) -> str:
    """Return the key that callers of a release's service pass: that of the last version of its lineage."""
    return Manifest.from_json(lineage[-1].manifest).entity


def product_versions(lineage: Sequence[Version]) -> list[Version]:
    """Return the versions of a lineage that have the key of the release: products, or sellers for their release.

    The product graph has no rows. Category embeddings have categories as keys, and a service whose views need two
    keys demands both from every caller.

    Raises:
        StateError: If two versions of one space come together.
    """
    entity = released_entity(lineage)
    by_space: dict[str, Version] = {}
    for version in lineage:
        if not version.has_view or Manifest.from_json(version.manifest).entity != entity:
            continue
        other = by_space.setdefault(version.space, version)
        if other.name != version.name:
            raise StateError(
                f"a release of both {other.name} and {version.name}",
                f"their vectors cannot be compared: make again what was made from the older {version.space}",
            )
    return list(by_space.values())


def release_services(release: Release, views: Sequence[FeatureView], live: bool) -> list[FeatureService]:
    """Return the service of a release, `related_products__v7`; if it is live, also `related_products`."""
    tags = {
        "release": str(release.number),
        release.version.space: release.version.name,
        "snapshot": release.version.snapshot_id,
        "collection": release.collection,
    }
    names = [release.collection, release.name] if live else [release.collection]
    return [
        FeatureService(
            name=name,
            features=list(views),
            tags=tags,
            description=f"Release {release.number}: {', '.join(view.name for view in views)}. "
            "It can be read online once it has been live.",
        )
        for name in names
    ]
