"""Read vectors of a version through the feature store, in the order of given keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from feast import FeatureStore
from feast.errors import FeastObjectNotFoundException

from registry.models import Version
from twinvec.columns import EVENT_TIMESTAMP
from twinvec.errors import NotFoundError
from twinvec.features.manifest import Manifest

ROW = "row"


@dataclass(frozen=True)
class Vectors:
    """Vectors of n keys, in the order of the request.

    Attributes:
        fields: Name of a vector column → float32 [n, d]; a row that is not present is zero.
        present: Bool [n]; True where the version has the key.
    """

    fields: Mapping[str, npt.NDArray[np.float32]]
    present: npt.NDArray[np.bool_]

    def only(self) -> npt.NDArray[np.float32]:
        """Return the vectors [n, d] of a version with a single vector column."""
        (vectors,) = self.fields.values()
        return vectors


def read_vectors(store: FeatureStore, version: Version, keys: Sequence[str]) -> Vectors:
    """Return the vectors of `keys` in a version.

    Raises:
        NotFoundError: If the version's view is not in the feature store.
    """
    manifest = Manifest.from_json(version.manifest)
    fields = {name: np.zeros((len(keys), manifest.dimension), np.float32) for name in manifest.fields}
    present = np.zeros(len(keys), np.bool_)
    if not len(keys):
        return Vectors(fields, present)
    # Feast's join keeps no order, so the row number is a column, too.
    entities = pd.DataFrame(
        {manifest.entity: keys, ROW: np.arange(len(keys)), EVENT_TIMESTAMP: datetime.now(UTC)}
    )
    references = [f"{version.view}:{name}" for name in manifest.fields]
    try:
        table = store.get_historical_features(entity_df=entities, features=references).to_arrow()
    except FeastObjectNotFoundException as error:
        raise NotFoundError(
            f"the feature store has no view {version.view}", "apply the version first"
        ) from error
    rows = table[ROW].to_numpy()
    for name, vectors in fields.items():
        column = table[name].combine_chunks()
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        vectors[rows[valid]] = _values(column).reshape(-1, manifest.dimension)
        present[rows[valid]] = True
    return Vectors(fields, present)


def _values(column: pa.ListArray) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = column.flatten().to_numpy()
    return values
