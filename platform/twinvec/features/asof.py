"""Feast's DuckDB offline store with the point-in-time join that DuckDB has: `ASOF`.

Feast 0.67 joins each wanted row with every earlier row of its key and keeps the latest of them, so that its work
grows with the history of a key. Here the latest is looked up; the rows are the same. It is configured as Feast's own:

    offline_store:
      type: twinvec.features.asof.AsofDuckDBOfflineStore
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import ibis
import pandas as pd
from feast import FeatureView, FileSource
from feast.infra.offline_stores import duckdb, offline_utils
from feast.infra.offline_stores import ibis as by_ibis
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig
from ibis.expr.datatypes import Timestamp
from ibis.expr.types import BooleanValue, Table

log = logging.getLogger(__name__)

# Columns that no caller's table has.
MADE, CREATED, KEY = "__made", "__created", "__key_{}"


class AsofDuckDBOfflineStoreConfig(duckdb.DuckDBOfflineStoreConfig):
    """As that of Feast's own store; Feast looks for it beside the store, by this name."""

    type: str = "twinvec.features.asof.AsofDuckDBOfflineStore"


class AsofDuckDBOfflineStore(duckdb.DuckDBOfflineStore):
    """Feast's DuckDB store, but for how the join of `get_historical_features` is planned."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """Plan the features of each row of `entity_df` as they were at its moment; nothing is read yet.

        What `left_to_feast` names is planned by Feast's own store, and the log says so.
        """
        wanted = [Wanted.of(view, feature_refs, full_feature_names) for view in feature_views]
        on_demand = bool(OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry))
        reason = left_to_feast(entity_df, wanted, on_demand, filter_by_created_timestamp)
        if reason is not None:
            log.info("joined by Feast's own store: %s", reason)
            return duckdb.DuckDBOfflineStore.get_historical_features(
                config,
                feature_views,
                feature_refs,
                entity_df,  # type: ignore[arg-type]  # None is its to refuse
                registry,
                project,
                full_feature_names,
                filter_by_created_timestamp,
            )
        assert isinstance(entity_df, pd.DataFrame)  # anything else is left to Feast
        moment = offline_utils.infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))
        first, last = by_ibis._get_entity_df_event_timestamp_range(entity_df, moment)
        joined = ibis.memtable(by_ibis._to_utc(entity_df.copy(deep=False), moment))
        for each in wanted:
            joined = join_latest(joined, moment, each, str(config.repo_path))
        return by_ibis.IbisRetrievalJob(
            joined,
            [],
            full_feature_names,
            metadata=RetrievalMetadata(
                features=feature_refs,
                keys=list(set(entity_df.columns) - {moment}),
                min_event_timestamp=first,
                max_event_timestamp=last,
            ),
            data_source_writer=duckdb._write_data_source,
            staging_location=config.offline_store.staging_location,
            staging_location_endpoint_override=config.offline_store.staging_location_endpoint_override,
            repo_path=str(config.repo_path),
        )


@dataclass(frozen=True)
class Wanted:
    """What is asked of one feature view.

    Attributes:
        view: with its projection.
        features: name of a feature in the view → its name in the answer, in the order asked for.
        keys: column of the view → column of the caller's table.
    """

    view: FeatureView
    features: Mapping[str, str]
    keys: Mapping[str, str]

    @classmethod
    def of(cls, view: FeatureView, references: list[str], full_names: bool) -> Wanted:
        """What those of the references that name the view ask for, with Feast's rules for names."""
        projection = view.projection
        name = projection.name_to_use()  # type: ignore[no-untyped-call]
        asked = [each.split(":")[1] for each in references if each.startswith(f"{name}:")]
        prefix = f"{projection.name_alias or view.name}__" if full_names else ""
        keys = projection.join_key_map or {column.name: column.name for column in view.entity_columns}
        return cls(view, {feature: prefix + feature for feature in asked}, keys)


def left_to_feast(
    entity_df: object, wanted: list[Wanted], on_demand: bool, filter_by_created_timestamp: bool
) -> str | None:
    """Why Feast's own store has to plan a join, or None.

    With `filter_by_created_timestamp`, a row has to be older than the wanted moment by two timestamps at once, and
    `ASOF` knows one. All other cases are such as Feast has special rules or errors for.
    """
    if not isinstance(entity_df, pd.DataFrame):
        return "the wanted rows are not a data frame"
    if on_demand:
        return "on-demand features are asked for"
    if filter_by_created_timestamp:
        return "rows are to be filtered by when they were created"
    columns = list(entity_df.columns)
    for each in wanted:
        if not isinstance(each.view.batch_source, FileSource):
            return f"the source of {each.view.name} is not of files"
        if missing := set(each.keys.values()) - set(columns):
            return f"the wanted rows have no {', '.join(sorted(missing))}"
        columns += each.features.values()
    if len(set(columns)) < len(columns):
        return "two columns would have one name"
    return None


def join_latest(rows: Table, moment: str, wanted: Wanted, repo_path: str) -> Table:
    """The rows, and in each of them the features of its key's latest row up to `moment`, or nulls.

    Of two rows of one key made at one moment, that counts which was created last; if they have no such column, any.
    """
    source = wanted.view.batch_source
    assert isinstance(source, FileSource)  # any other is left to Feast
    table = duckdb._read_data_source(source, repo_path)
    for old, new in source.field_mapping.items():
        if old in table.columns:
            table = table.rename({new: old})
    utc = Timestamp(timezone="UTC")
    made, created = source.timestamp_field, source.created_timestamp_column
    table = table.mutate(**{name: table[name].cast(utc) for name in (made, created) if name})
    keys = {KEY.format(number): name for number, name in enumerate(wanted.keys)}
    features = {new: old for old, new in wanted.features.items()}
    table = table.select(
        **{name: table[column] for name, column in ({**keys, MADE: made} | features).items()},
        **({CREATED: table[created]} if created else {}),
    )
    # A join that sorts: what no row asks for is better left out before.
    table = table.semi_join(rows, _same(rows, table, wanted))
    if created:
        table = by_ibis.deduplicate(table, [*keys, MADE], MADE, CREATED)
    joined = rows.asof_join(table, rows[moment].cast(utc) >= table[MADE], _same(rows, table, wanted))
    if wanted.view.ttl:
        alive = joined[MADE] + ibis.literal(wanted.view.ttl) >= joined[moment]
        joined = joined.mutate(**{name: alive.ifelse(joined[name], ibis.null()) for name in features})
    return joined.select(*rows.columns, *features)


def _same(rows: Table, table: Table, wanted: Wanted) -> list[BooleanValue]:
    return [rows[column] == table[KEY.format(number)] for number, column in enumerate(wanted.keys.values())]
