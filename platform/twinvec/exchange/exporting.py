"""Export of a version as one Parquet file."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from registry.models import Version
from twinvec.errors import StateError
from twinvec.features.manifest import Manifest
from twinvec.features.vectors import FOLDER, ROWS_PER_GROUP
from twinvec.files import new_file

METADATA = b"twinvec.manifest"


def export_version(version: Version, target: Path) -> int:
    """Write the keys and vectors of a version, or its table, to `target`, and return the number of rows.

    The file appears whole or not at all. Memory is that of one batch of rows. The version's manifest is in the file's
    metadata, under `twinvec.manifest`.

    Raises:
        StateError: If the version has no rows.
    """
    manifest = Manifest.from_json(version.manifest)
    if not manifest.fields:
        raise StateError(f"{version.name} has no vectors", "name a version of another space")
    columns = [manifest.entity, *manifest.fields]
    parts = [pq.ParquetFile(part) for part in sorted((Path(version.path) / FOLDER).glob("*.parquet"))]
    described = {METADATA: json.dumps(manifest.to_json()).encode()}
    target = target.expanduser().absolute()
    rows = 0
    with new_file(target) as staging:
        writer: pq.ParquetWriter | None = None
        try:
            for part in parts:
                for batch in part.iter_batches(ROWS_PER_GROUP, columns=columns):
                    labelled = batch.replace_schema_metadata(described)
                    if writer is None:
                        writer = pq.ParquetWriter(staging, labelled.schema, use_dictionary=False)
                    writer.write_batch(labelled)
                    rows += batch.num_rows
        finally:
            if writer is not None:
                writer.close()
    return rows
