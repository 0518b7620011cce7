"""Configurations of Feast for Ray and Spark: the same features as by DuckDB."""

from __future__ import annotations

import importlib.util
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.data_format import ParquetFormat
from feast.types import Array, Float32, Float64, String

from twinvec.features.spark import spark_view

FEATURE_REPO = Path(__file__).parents[2] / "feature_repo"
START = datetime(2026, 3, 1, tzinfo=UTC)
PRODUCTS = [f"p{number}" for number in range(8)]
FEATURES = ["vectors:vector", "prices:price"]


def write(folder: Path, name: str, random: np.random.Generator, values: pa.Array) -> FileSource:
    """Write a history: each product at distinct moments, in two files, in no order."""
    rows = len(values)
    table = pa.table(
        {
            "product_id": np.resize(PRODUCTS, rows),
            "event_timestamp": pa.array(
                [START + timedelta(hours=int(at)) for at in random.permutation(rows)],
                pa.timestamp("us", tz="UTC"),
            ),
            name: values,
        }
    ).take(random.permutation(rows))
    (folder / name).mkdir(parents=True)
    for part in range(2):
        pq.write_table(table.slice(part * rows // 2, rows // 2), folder / name / f"{part}.parquet")
    return FileSource(
        name=name,
        path=str(folder / name),
        timestamp_field="event_timestamp",
        file_format=ParquetFormat(),
    )


def history(
    folder: Path, random: np.random.Generator, ttl: timedelta = timedelta(0)
) -> tuple[Entity, list[FeatureView]]:
    """Write histories of vectors and prices, and return their entity and views; prices live for `ttl`."""
    product, rows = Entity(name="product", join_keys=["product_id"]), 120
    vectors = pa.array(random.random((rows, 3), np.float32).tolist(), pa.list_(pa.float32()))
    key = Field(name="product_id", dtype=String)
    return product, [
        FeatureView(
            name=f"{name}s",
            entities=[product],
            source=write(folder, name, random, values),
            schema=[key, Field(name=name, dtype=kind)],
            ttl=alive,
        )
        for name, values, kind, alive in (
            ("vector", vectors, Array(Float32), timedelta(0)),
            ("price", pa.array(random.random(rows)), Float64, ttl),
        )
    ]


def wanted(random: np.random.Generator) -> pd.DataFrame:
    """Known and unknown products, at moments before, among and after those of the histories."""
    return pd.DataFrame(
        {
            "product_id": random.choice([*PRODUCTS, "unknown"], 60),
            "event_timestamp": [
                START + timedelta(hours=0.5 + int(at)) for at in random.integers(-20, 150, 60)
            ],
            "row": np.arange(60),
        }
    )


def features(store: FeatureStore, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the features in the order of the rows; absent ones are None, for which Ray has an empty list."""
    found = store.get_historical_features(rows, FEATURES).to_df().sort_values("row", ignore_index=True)
    return pd.DataFrame(
        {
            "product_id": found["product_id"],
            "price": [None if pd.isna(each) else float(each) for each in found["price"]],
            "vector": [
                None if np.size(each) < 2 else [float(value) for value in each] for each in found["vector"]
            ],
        }
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the configurations name."""
    monkeypatch.setenv("TWINVEC_HOME", str(tmp_path))
    (tmp_path / "feast").mkdir()
    return tmp_path


def configured(home: Path, name: str) -> FeatureStore:
    """Open a configuration of `feature_repo`, with its variables."""
    return FeatureStore(repo_path=str(home), fs_yaml_file=FEATURE_REPO / name)


@pytest.mark.slow
def test_ray_joins_what_duckdb_joins(home: Path, nodes: Any) -> None:
    random = np.random.default_rng(5)
    # Feast's Ray store knows no time to live; views of versions have none.
    product, views = history(home / "history", random)
    local = configured(home, "feature_store.yaml")
    local.apply([product, *views])
    rows = wanted(random)
    expected = features(local, rows)
    assert 5 < expected["price"].notna().sum() < len(rows)
    on_ray = configured(home, "feature_store.ray.yaml")
    assert on_ray.config.offline_store.type == "ray"
    pd.testing.assert_frame_equal(features(on_ray, rows), expected, check_dtype=False)


def test_the_configuration_of_spark_reads_its_own_sources(home: Path) -> None:
    config = yaml.safe_load((FEATURE_REPO / "feature_store.spark.yaml").read_text("utf-8"))
    local = yaml.safe_load((FEATURE_REPO / "feature_store.yaml").read_text("utf-8"))
    assert {name for name in config if config[name] != local[name]} == {"offline_store", "registry"}
    assert config["offline_store"]["type"] == "spark"
    _, views = history(home / "history", np.random.default_rng(6))
    over = spark_view(views[0])
    assert over.batch_source is not None
    assert (type(over.batch_source).__name__, over.batch_source.path) == (  # type: ignore[attr-defined]
        "SparkSource",
        str(home / "history" / "vector"),
    )
    assert isinstance(views[0].batch_source, FileSource), "the view itself is as it was"


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("pyspark") is None or shutil.which("java") is None,
    reason="needs pyspark and Java",
)
def test_spark_joins_what_duckdb_joins(home: Path) -> None:
    random = np.random.default_rng(7)
    product, views = history(home / "history", random, ttl=timedelta(hours=9))
    local = configured(home, "feature_store.yaml")
    local.apply([product, *views])
    rows = wanted(random)
    expected = features(local, rows)
    by_spark = configured(home, "feature_store.spark.yaml")
    by_spark.apply([product, *map(spark_view, views)])
    pd.testing.assert_frame_equal(features(by_spark, rows), expected, check_dtype=False)
