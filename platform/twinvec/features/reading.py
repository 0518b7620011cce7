"""How a pipeline reads the vectors it starts from: through the feature store, in the order it wants."""

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
    """Vectors of n keys, in the order they were asked for.

    Args:
        fields: name of a vector column → float32 [n, d]; a row that is not present is zero.
        present: bool [n], whether the version has the key.
    """

    fields: Mapping[str, npt.NDArray[np.float32]]
    present: npt.NDArray[np.bool_]

    def only(self) -> npt.NDArray[np.float32]:
        """The vectors [n, d] of a version with one column of them."""
        (vectors,) = self.fields.values()
        return vectors


def read_vectors(store: FeatureStore, version: Version, keys: Sequence[str]) -> Vectors:
    """Read the vectors of `keys` from a version, as it is now.

    Raises:
        NotFoundError: if the version's view is not in the feature store.
    """
    manifest = Manifest.from_json(version.manifest)
    fields = {name: np.zeros((len(keys), manifest.dimension), np.float32) for name in manifest.fields}
    present = np.zeros(len(keys), np.bool_)
    if not len(keys):
        return Vectors(fields, present)
    # Feast's join keeps no order, so the row goes along.
    wanted = pd.DataFrame(
        {manifest.entity: keys, ROW: np.arange(len(keys)), EVENT_TIMESTAMP: datetime.now(UTC)}
    )
    references = [f"{version.view}:{name}" for name in manifest.fields]
    try:
        table = store.get_historical_features(entity_df=wanted, features=references).to_arrow()
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
