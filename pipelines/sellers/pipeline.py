"""The space `sellers`: vectors of sellers, to compare with those of `seller_products`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from pipelines.sellers.products import SELLERS, VECTORS
from twinvec.columns import SELLER_ID
from twinvec.features.manifest import Manifest, vector_fields
from twinvec.stage import Inputs, Outcome, Progress

if TYPE_CHECKING:
    from twinvec.tracking import Run

(FIELD,) = vector_fields("sellers")


def train(inputs: Inputs, _run: Run, _progress: Progress) -> Outcome:
    """Return the vectors of sellers from the training of `seller_products`, with its metrics."""
    version, folder = inputs.versions["seller_products"], inputs.folder("seller_products")
    manifest = Manifest.from_json(version.manifest)
    return Outcome(
        entity=SELLER_ID,
        keys=pq.read_table(folder / SELLERS)[SELLER_ID].to_pylist(),
        vectors={FIELD: np.load(folder / VECTORS)},
        metric=manifest.metric,
        normalised=manifest.normalised,
        model=manifest.model,
        preprocessing=manifest.preprocessing,
        metrics=version.metrics or {},
    )
