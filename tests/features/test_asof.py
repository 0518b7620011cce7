"""Our offline store beside Feast's own, over random histories: every row must be the same."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    RepoConfig,
    RequestSource,
)
from feast.data_format import ParquetFormat
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Float32, Float64, Int64, String

ASOF = "twinvec.features.asof.AsofDuckDBOfflineStore"
START = datetime(2026, 3, 1, tzinfo=UTC)
PRODUCTS = [f"p{number}" for number in range(12)]
SHOPS = [1, 2, 3]
Stores = tuple[FeatureStore, FeatureStore]


def moments(random: np.random.Generator, rows: int) -> list[datetime]:
    """Few enough that many come twice."""
    return [START + timedelta(hours=12 * int(step)) for step in random.integers(0, 16, rows)]


def some(random: np.random.Generator, values: list[Any], nulls: float = 0.2) -> list[Any]:
    return [None if random.random() < nulls else value for value in values]


def write(folder: Path, name: str, table: pd.DataFrame, schema: pa.Schema) -> FileSource:
    """In two files, in no order."""
    path = folder / name
    path.mkdir()
    table = table.sample(frac=1, random_state=1)
    for part, half in enumerate((table[::2], table[1::2])):
        pq.write_table(pa.Table.from_pandas(half, schema, preserve_index=False), path / f"{part}.parquet")
    with_created, mapped = "created" in table.columns, "ts" in table.columns
    return FileSource(
        name=name,
        path=str(path),
        file_format=ParquetFormat(),
        timestamp_field="moment" if mapped else "event_timestamp",
        created_timestamp_column="created" if with_created else "",
        field_mapping={"ts": "moment", "n": "clicks"} if mapped else {},
    )


def sources(folder: Path, random: np.random.Generator) -> dict[str, FileSource]:
    utc, naive = pa.timestamp("us", tz="UTC"), pa.timestamp("ns")
    rows = 300
    prices = pd.DataFrame(
        {
            "product_id": some(random, [str(one) for one in random.choice(PRODUCTS, rows)], 0.05),
            "event_timestamp": moments(random, rows),
            "created": some(random, moments(random, rows)),
            "price": some(random, random.random(rows).tolist()),
            "stock": some(random, random.integers(0, 9, rows).tolist()),
        }
    ).drop_duplicates(["product_id", "event_timestamp", "created"])
    clicks = pd.DataFrame(
        {
            "product_id": random.choice(PRODUCTS, rows),
            "shop_id": random.choice(SHOPS, rows),
            "ts": [moment.replace(tzinfo=None) for moment in moments(random, rows)],
            "n": some(random, random.integers(0, 99, rows).tolist()),
        }
    ).drop_duplicates(["product_id", "shop_id", "ts"])
    vectors = pd.DataFrame(
        {
            "product_id": random.choice(PRODUCTS, rows),
            "event_timestamp": moments(random, rows),
            "vector": [row.tolist() for row in random.random((rows, 3), np.float32)],
        }
    ).drop_duplicates(["product_id", "event_timestamp"])
    return {
        "prices": write(
            folder,
            "prices",
            prices,
            pa.schema(
                {
                    "product_id": "string",
                    "event_timestamp": utc,
                    "created": utc,
                    "price": "double",
                    "stock": "int64",
                }
            ),
        ),
        "clicks": write(
            folder,
            "clicks",
            clicks,
            pa.schema({"product_id": "string", "shop_id": "int64", "ts": naive, "n": "int64"}),
        ),
        "vectors": write(
            folder,
            "vectors",
            vectors,
            pa.schema({"product_id": "string", "event_timestamp": utc, "vector": pa.list_(pa.float32())}),
        ),
    }


def objects(source: dict[str, FileSource]) -> list[Any]:
    product, shop = (
        Entity(name="product", join_keys=["product_id"]),
        Entity(name="shop", join_keys=["shop_id"]),
    )
    key, shop_key = Field(name="product_id", dtype=String), Field(name="shop_id", dtype=Int64)
    prices = FeatureView(
        name="prices",
        entities=[product],
        ttl=timedelta(days=2),
        source=source["prices"],
        schema=[key, Field(name="price", dtype=Float64), Field(name="stock", dtype=Int64)],
    )
    clicks = FeatureView(
        name="clicks",
        entities=[product, shop],
        ttl=timedelta(0),
        source=source["clicks"],
        schema=[key, shop_key, Field(name="clicks", dtype=Int64)],
    )
    vectors = FeatureView(
        name="vectors",
        entities=[product],
        ttl=timedelta(hours=12),
        source=source["vectors"],
        schema=[key, Field(name="vector", dtype=Array(Float32))],
    )
    everything = FeatureService(
        name="everything",
        features=[
            # Feast 0.67 cannot sort a view's projections if one has an alias and another has none.
            prices.with_name("prices"),
            clicks,
            vectors,
            prices.with_name("other").with_join_key_map({"product_id": "other_id"}),
        ],
    )
    asked = RequestSource(name="asked", schema=[Field(name="rate", dtype=Float64)])

    @on_demand_feature_view(  # type: ignore[untyped-decorator]
        sources=[prices, asked], schema=[Field(name="converted", dtype=Float64)]
    )
    def converted(rows: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"converted": rows["price"] * rows["rate"]})

    return [product, shop, prices, clicks, vectors, everything, converted]


def open_stores(folder: Path, seed: int) -> Stores:
    def store(kind: str) -> FeatureStore:
        return FeatureStore(
            config=RepoConfig(
                project="shop",
                provider="local",
                registry=str(folder / "registry.db"),
                offline_store={"type": kind},
                online_store=None,
                entity_key_serialization_version=3,
            )
        )

    ours, feasts = store(ASOF), store("duckdb")
    ours.apply(objects(sources(folder, np.random.default_rng(seed))))
    return ours, feasts


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    return open_stores(tmp_path_factory.mktemp("shop"), seed=11)


def wanted(seed: int, rows: int = 200) -> pd.DataFrame:
    """Known and unknown keys, none at all, rows that come twice; moments before, on and between those of the rows."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "product_id": some(
                random, [str(one) for one in random.choice([*PRODUCTS, "unknown"], rows)], 0.05
            ),
            "shop_id": random.choice([*SHOPS, 4], rows),
            "other_id": random.choice(PRODUCTS, rows),
            "event_timestamp": [
                START + timedelta(hours=6 * int(step)) for step in random.integers(-2, 36, rows)
            ],
            "rate": 2.0,
        }
    )
    table = pd.concat([table, table[:10]], ignore_index=True)
    table["row"] = np.arange(len(table))
    return table


def assert_same(ours: FeatureStore, feasts: FeatureStore, table: pd.DataFrame, **asked: Any) -> pa.Table:
    job: Any = ours.get_historical_features(table, **asked)
    reference: Any = feasts.get_historical_features(table, **asked)
    assert job.metadata.features == reference.metadata.features
    assert set(job.metadata.keys) == set(reference.metadata.keys)
    assert job.metadata.max_event_timestamp == reference.metadata.max_event_timestamp
    got, expected = (each.to_arrow().sort_by("row") for each in (job, reference))
    assert got.schema == expected.schema
    assert got.num_rows == len(table)
    for name in got.column_names:
        assert got[name].equals(expected[name]), name
    return got


@pytest.mark.parametrize("seed", range(4))
def test_every_row_is_as_feast_joins_it(seed: int, tmp_path: Path) -> None:
    ours, feasts = open_stores(tmp_path, seed)
    service = ours.get_feature_service("everything")
    got = assert_same(ours, feasts, wanted(seed), features=service, full_feature_names=True)
    for name in ("prices__price", "prices__stock", "clicks__clicks", "vectors__vector", "other__price"):
        assert 0 < got[name].null_count < got.num_rows, f"{name} says nothing"


def test_the_join_is_asof_and_reads_nothing_before_it_is_asked(stores: Stores) -> None:
    ours, feasts = stores
    features = ["vectors:vector", "clicks:clicks"]
    table = wanted(1)
    before = table.copy()
    job: Any = ours.get_historical_features(table, features)
    reference: Any = feasts.get_historical_features(table, features)
    plan = ibis.to_sql(job.table)
    assert plan.count("ASOF") == 2
    assert "ASOF" not in ibis.to_sql(reference.table)
    pd.testing.assert_frame_equal(table, before)
    # Text for a moment, as from a CSV file.
    assert_same(ours, feasts, table.astype({"event_timestamp": str}), features=features)


def test_of_two_rows_of_one_moment_one_is_taken_whole(tmp_path: Path) -> None:
    """Without a column that says which was created last, Feast takes any."""
    ours, _ = open_stores(tmp_path, seed=3)
    table = pd.DataFrame({"product_id": PRODUCTS[0], "event_timestamp": [START], "a": [1]})
    tied = pd.concat([table.assign(a=number, b=number) for number in range(5)])
    path = tmp_path / "tied.parquet"
    tied.to_parquet(path)
    view = FeatureView(
        name="tied",
        entities=[ours.get_entity("product")],
        source=FileSource(path=str(path), timestamp_field="event_timestamp"),
        schema=[
            Field(name="product_id", dtype=String),
            Field(name="a", dtype=Int64),
            Field(name="b", dtype=Int64),
        ],
    )
    ours.apply(view)
    found = ours.get_historical_features(table.drop(columns="a"), ["tied:a", "tied:b"]).to_df()
    assert len(found) == 1
    assert found["a"][0] == found["b"][0]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"features": ["prices:price", "converted:converted"]}, "on-demand"),
        ({"features": ["prices:price"], "filter_by_created_timestamp": True}, "created"),
    ],
)
def test_what_is_not_planned_here_feast_joins_and_the_log_says_so(
    asked: dict[str, Any], reason: str, stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "twinvec.features.asof"):
        assert_same(*stores, wanted(5), **asked)
    assert reason in caplog.text


def test_rows_without_a_key_end_in_feast_s_own_error(stores: Stores) -> None:
    table = wanted(6).drop(columns="shop_id")
    messages = []
    for store in stores:
        with pytest.raises(Exception, match="shop_id") as error:
            store.get_historical_features(table, ["clicks:clicks"]).to_df()
        messages.append(type(error.value))
    assert messages[0] is messages[1]


def test_an_answer_is_kept_as_a_data_set(stores: Stores, tmp_path: Path) -> None:
    ours, _ = stores
    job: Any = ours.get_historical_features(wanted(7), ["vectors:vector"])
    path = tmp_path / "kept.parquet"
    job.persist(SavedDatasetFileStorage(path=str(path)))
    assert pq.read_table(path).num_rows == len(wanted(7))
