"""Import of vectors that were made elsewhere, as a version of a space."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from registry.models import Version
from registry.operations import whoami
from twinvec.columns import CATEGORY, ITEM_ID, PRODUCT_ID, SELLER_ID
from twinvec.dag import import_mark
from twinvec.errors import CatalogueError, StateError
from twinvec.exchange.table import Floats, check_table, examples, read_table
from twinvec.features.manifest import IMPORTED
from twinvec.progress import Progress
from twinvec.spaces import find_space, stage_of
from twinvec.stage import Inputs, Outcome, make_version
from twinvec.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from twinvec.catalogue.snapshot import Snapshot
    from twinvec.tracking import Run

NOTE = "mlflow.note.content"  # MLflow's own tag of a run's description
KEYS_SQL = {
    PRODUCT_ID: "SELECT product_id FROM products ORDER BY 1",
    ITEM_ID: "SELECT item_id FROM listings ORDER BY 1",
    SELLER_ID: "SELECT DISTINCT seller_id FROM offers ORDER BY 1",
    CATEGORY: """
        SELECT DISTINCT array_to_string(category[:level], ' > ')
        FROM (SELECT category, unnest(range(1, len(category) + 1)) AS level FROM products) ORDER BY 1
    """,
}


def import_vectors(
    workspace: Workspace,
    name: str,
    source: str | Path | pa.Table | pd.DataFrame | Mapping[str, Any],
    inputs: Iterable[Version] = (),
    note: str = "",
    snapshot: str | None = None,
    progress: Progress = lambda _message: None,
) -> Version:
    """Make a version of a space from vectors that were made elsewhere.

    The version records where it comes from: digests of the file and of the vectors, who imported it, and the note are
    in its MLflow run; its manifest has the digest of the vectors in place of a model's.

    Args:
        workspace: Stores.
        name: Space, such as `text`.
        source: Parquet file or table, with the key column and the vector columns of the space.
        inputs: Versions of this snapshot that the vectors belong to, such as the graph that they were trained on.
        note: Free text that is kept with the run, such as the name of the model.
        snapshot: Snapshot whose products have these vectors; the latest if not given.
        progress: Called with messages.

    Returns:
        The version. Its metrics tell how many products of the snapshot have a vector, and how many have none.

    Raises:
        NotFoundError: If there is no such space or file.
        StateError: If the space has no vectors, or an input that it is served with is missing.
        CatalogueError: If the table does not fit the space or names products that the snapshot does not have.
    """
    space = find_space(name)
    if not space.fields:
        raise StateError(f"versions of {name} have no vectors", "import vectors of another space")
    opened = workspace.snapshot(snapshot)
    versions = {version.space: version for version in inputs}
    for version in versions.values():
        if version.snapshot_id != opened.id:
            raise StateError(
                f"{version.name} was made from snapshot {version.snapshot_id}, not from {opened.id}",
                "name a version of this snapshot",
            )
    target = space.serving.searched if space.serving is not None else None
    if target is not None and target.space not in (name, *versions):
        raise StateError(
            f"{name} is served with vectors of {target.space}, and none of its versions is given",
            f"import {target.space} first, and name its version as an input: "
            f"`twinvec import {name} FILE --from {target.space}`",
        )
    keys, fields = check_table(read_table(source), space)
    dimension = next(iter(fields.values())).shape[1]
    searched = versions.get(target.space) if target is not None else None
    if searched is not None and searched.dimension != dimension:
        raise CatalogueError(
            f"the vectors have {dimension} numbers, and those of {searched.name}, which they are compared with, "
            f"{searched.dimension}",
            f"import vectors of {name} and of {searched.space} that one model made",
        )
    expected = _keys(opened, space.entity.key)
    without = _count_without(keys, expected, opened.id, space.entity.name)
    if without:
        progress(f"{name}: {without:,} of {len(expected or ()):,} have no vector")
    weights = digest_of_vectors(keys, fields)
    provenance = {
        "vectors": weights,
        "file": str(source) if isinstance(source, str | Path) else "",
        "file_sha256": _file_digest(Path(source)) if isinstance(source, str | Path) else "",
        "who": workspace.settings.registry.user or whoami(),
        "note": note[:500],
    }

    def made(_inputs: Inputs, run: Run, _progress: Progress) -> Outcome:
        run.set_tags({"twinvec.imported": weights} | ({NOTE: note} if note else {}))
        return Outcome(
            keys=keys,
            vectors=fields,
            metric="cosine" if space.serving is None and stage_of(name) is space else "dot",
            normalised=all(_is_normalised(vectors) for vectors in fields.values()),
            model=weights,
            preprocessing=IMPORTED,
            metrics={"with_vector": len(keys), "without_vector": without},
            entity=space.entity.key,
        )

    stage_inputs = Inputs(workspace, opened, versions)
    return make_version(
        stage_inputs, name, import_mark(name, opened.id), {"imported": provenance}, made, progress
    )


def digest_of_vectors(keys: pa.Array, fields: Mapping[str, Floats]) -> str:
    """Return a digest of the keys and vectors: 16 hexadecimal digits."""
    digest = hashlib.sha256("\n".join(keys.to_pylist()).encode())
    for field, vectors in fields.items():
        digest.update(field.encode())
        digest.update(vectors.data)
    return digest.hexdigest()[:16]


def _keys(snapshot: Snapshot, entity: str) -> pa.Array | None:
    """Return the keys that vectors may have; None if the snapshot does not list this kind of thing."""
    if entity not in KEYS_SQL:
        return None
    with snapshot.connect() as connection:
        table = connection.sql(KEYS_SQL[entity]).to_arrow_table()
    return table.column(0).cast(pa.string()).combine_chunks()


def _count_without(keys: pa.Array, expected: pa.Array | None, snapshot: str, entity: str) -> int:
    """Return how many known keys have no vector.

    Raises:
        CatalogueError: If a vector is of none of them.
    """
    if expected is None:
        return 0
    strange = keys.filter(pc.invert(pc.is_in(keys, value_set=expected)))
    if len(strange):
        raise CatalogueError(
            f"snapshot {snapshot} does not have {len(strange):,} of {len(keys):,} keys of {entity}, "
            f"such as {examples(strange)}",
            "leave them out, or ingest the catalogue that has them; keys are matched letter for letter",
        )
    return len(expected) - len(keys)


def _is_normalised(vectors: Floats) -> bool:
    lengths = np.linalg.norm(vectors, axis=1)
    return bool(np.allclose(lengths, 1, atol=1e-3))


def _file_digest(path: Path) -> str:
    with path.expanduser().open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
