"""Feast's views for its Spark store, which reads sources of its own kind alone."""

from __future__ import annotations

import copy

from feast import FeatureView, FileSource
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource


def spark_view(view: FeatureView) -> FeatureView:
    """Return the view over the same Parquet files, which every worker of Spark must reach."""
    source = view.batch_source
    assert isinstance(source, FileSource)  # all of ours are
    over_spark = copy.copy(view)
    over_spark.batch_source = SparkSource(
        name=source.name,
        path=source.path,
        file_format="parquet",
        timestamp_field=source.timestamp_field,
    )
    return over_spark
