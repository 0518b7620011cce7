"""Reading and checking of a table of vectors that was made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from twinvec.errors import CatalogueError, NotFoundError
from twinvec.spaces import Space

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float32]
SHOWN = 2


def read_table(source: str | Path | pa.Table | pd.DataFrame | Mapping[str, Any]) -> pa.Table:
    """Return a table: of a Parquet file, of a DataFrame, or of a mapping from column to values.

    Raises:
        NotFoundError: If there is no such file.
        CatalogueError: If it is no Parquet file.
    """
    if isinstance(source, pa.Table):
        return source
    if isinstance(source, Mapping):
        return pa.table({name: _column(values) for name, values in source.items()})
    if not isinstance(source, str | Path):
        return pa.Table.from_pandas(source, preserve_index=False)
    path = Path(source).expanduser()
    if not path.is_file():
        raise NotFoundError(f"no such file: {path}", "name a Parquet file of vectors")
    try:
        return pq.read_table(path)
    except pa.ArrowException as error:
        raise CatalogueError(f"{path} cannot be read: {error}", "name a Parquet file of vectors") from error


def _column(values: Any) -> Any:
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    return values


def check_table(table: pa.Table, space: Space) -> tuple[pa.Array, dict[str, Floats]]:
    """Return the keys [n] and the vectors of a table, field → float32 [n, d]; rows without vectors are left out.

    The table has the key column and a column of lists for each field of the space. Where the space has one field, the
    single column of lists may have any name.

    Raises:
        CatalogueError: If a column is missing, keys are repeated, or vectors differ in length or are not finite.
    """
    key = space.entity.key
    lists = [field.name for field in table.schema if _is_list(field.type)]
    columns = dict(zip(space.fields, space.fields, strict=True))
    if len(space.fields) == 1 and space.fields[0] not in lists and len(lists) == 1:
        columns = {space.fields[0]: lists[0]}
    missing = [name for name in (key, *columns.values()) if name not in table.column_names]
    missing += [name for name in columns.values() if name in table.column_names and name not in lists]
    if missing:
        raise CatalogueError(
            f"the table has no column of {'keys' if missing[0] == key else 'lists'} {missing[0]!r}; "
            f"it has {', '.join(table.column_names)}",
            f"{space.name} takes the columns {', '.join([key, *space.fields])}",
        )
    valid = table[key].is_valid()
    for name in columns.values():
        valid = pc.and_(valid, table[name].is_valid())
    table = table.filter(valid)
    if not table.num_rows:
        raise CatalogueError("the table has no vectors", "a version needs at least one row")
    keys = table[key].cast(pa.string()).combine_chunks()
    keys = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    counts = pc.value_counts(keys)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        names = examples(repeated.field("values"))
        raise CatalogueError(f"{len(repeated):,} keys are repeated, such as {names}", "give each key one row")
    fields = {field: _vectors(table[name], field, keys) for field, name in columns.items()}
    if len({vectors.shape[1] for vectors in fields.values()}) > 1:
        shapes = ", ".join(f"{field} {vectors.shape[1]}" for field, vectors in fields.items())
        raise CatalogueError(
            f"columns of different dimensions: {shapes}", "give all columns the same dimension"
        )
    return keys, fields


def examples(names: pa.Array) -> str:
    """Return the first names for a message."""
    return ", ".join(repr(name) for name in names[:SHOWN].to_pylist())


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return False
    return bool(types.is_floating(kind.value_type) or types.is_integer(kind.value_type))


def _vectors(column: pa.ChunkedArray, field: str, keys: pa.Array) -> Floats:
    lengths = pc.list_value_length(column).to_numpy()
    if (lengths != lengths[0]).any() or not lengths[0]:
        odd = int((lengths != lengths[0]).argmax())
        raise CatalogueError(
            f"{field} has vectors of {lengths[0]} and of {lengths[odd]} numbers, the latter of {keys[odd].as_py()!r}",
            "give all rows vectors of one dimension",
        )
    values = pc.list_flatten(column).cast(pa.float32(), safe=False).to_numpy()
    vectors = np.ascontiguousarray(values.reshape(len(keys), lengths[0]), np.float32)
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        names = examples(keys.filter(pa.array(~finite)))
        raise CatalogueError(
            f"{field} is not finite in {int((~finite).sum()):,} rows, such as {names}", "leave these rows out"
        )
    return vectors
