"""The vectors of a version as Arrow, NumPy or torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from registry.models import Version
from twinvec.errors import NotFoundError, StateError
from twinvec.features.manifest import Manifest
from twinvec.features.vectors import FOLDER

if TYPE_CHECKING:
    from torch import Tensor

SHOWN = 2


@dataclass(frozen=True)
class VersionVectors:
    """Vectors of n keys in one version.

    Attributes:
        version: Name of the version, such as `related@v3`.
        entity: Name of the key column, such as `product_id`.
        keys: Keys, strings [n].
        fields: Name of a vector column → float32 [n, d].
    """

    version: str
    entity: str
    keys: pa.Array
    fields: Mapping[str, npt.NDArray[np.float32]]

    def __len__(self) -> int:
        return len(self.keys)

    def to_numpy(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return the arrays, name of a vector column → float32 [n, d]."""
        return dict(self.fields)

    def to_torch(self) -> dict[str, Tensor]:
        """Return tensors that share the memory of the arrays, name of a vector column → float32 [n, d]."""
        import torch

        return {name: torch.from_numpy(vectors) for name, vectors in self.fields.items()}

    def to_arrow(self) -> pa.Table:
        """Return a table of the key column and one column of fixed-size lists for each vector column."""
        columns = {self.entity: self.keys}
        for name, vectors in self.fields.items():
            columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        return pa.table(columns)


def read_version(version: Version, keys: Sequence[str] | None = None) -> VersionVectors:
    """Read the vectors of a version from its files.

    Args:
        version: Version with vectors.
        keys: Keys to read, in this order; all in the order of the files if not given.

    Raises:
        StateError: If the version has no vectors.
        NotFoundError: If it lacks some of the keys.
    """
    manifest = Manifest.from_json(version.manifest)
    if not manifest.dimension:
        raise StateError(f"{version.name} has no vectors", "name a version of another space")
    parts = sorted((Path(version.path) / FOLDER).glob("*.parquet"))
    columns = [manifest.entity, *manifest.fields]
    all_keys: list[pa.Array] = []
    fields = {name: np.empty((manifest.rows, manifest.dimension), np.float32) for name in manifest.fields}
    row = 0
    for part in parts:
        for batch in pq.ParquetFile(part).iter_batches(columns=columns):
            all_keys.append(batch[manifest.entity])
            for name, vectors in fields.items():
                values = batch[name].flatten().to_numpy()
                vectors[row : row + batch.num_rows] = values.reshape(-1, manifest.dimension)
            row += batch.num_rows
    result = VersionVectors(version.name, manifest.entity, pa.concat_arrays(all_keys), fields)
    return result if keys is None else _only(result, keys)


def _only(vectors: VersionVectors, keys: Sequence[str]) -> VersionVectors:
    names = pa.array(keys, pa.string())
    rows = pc.index_in(names, value_set=vectors.keys)
    if rows.null_count:
        missing = names.filter(pc.is_null(rows))
        examples = ", ".join(repr(key) for key in missing[:SHOWN].to_pylist())
        raise NotFoundError(
            f"{vectors.version} has no vector of {len(missing):,} of {len(names):,} keys, such as {examples}",
            f"`keys` lists values of {vectors.entity}, matched letter for letter",
        )
    order = rows.to_numpy()
    fields = {name: array[order] for name, array in vectors.fields.items()}
    return VersionVectors(vectors.version, vectors.entity, names, fields)
