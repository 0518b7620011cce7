"""Feast's DuckDB offline store with DuckDB's point-in-time join, `ASOF`.

Feast 0.67 joins each requested row with every earlier row of its key and keeps the latest of them, so that its work
grows with the history of a key. Here the latest row is looked up; the result is the same. Configure it as Feast's own:

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
    """Configuration of the store. Feast looks for it in the store's module, by this name."""

    type: str = "twinvec.features.asof.AsofDuckDBOfflineStore"


class AsofDuckDBOfflineStore(duckdb.DuckDBOfflineStore):
    """Feast's DuckDB store with another plan of the join in `get_historical_features`."""

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
        """Plan the features of each row of `entity_df` as they were at its timestamp; nothing is read yet.

        Feast's own store plans the cases that `reason_for_feast` names, and the log says so.
        """
        requested = [RequestedView.of(view, feature_refs, full_feature_names) for view in feature_views]
        on_demand = bool(OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry))
        reason = reason_for_feast(entity_df, requested, on_demand, filter_by_created_timestamp)
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
        for each in requested:
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
class RequestedView:
    """The features requested of one feature view.

    Attributes:
        view: Feature view with its projection.
        features: Name of a feature in the view → its name in the result, in the order of the request.
        keys: Key column of the view → column of the caller's table.
    """

    view: FeatureView
    features: Mapping[str, str]
    keys: Mapping[str, str]

    @classmethod
    def of(cls, view: FeatureView, references: list[str], full_names: bool) -> RequestedView:
        """Return what the references request of the view, by Feast's rules for names."""
        projection = view.projection
        name = projection.name_to_use()  # type: ignore[no-untyped-call]
        names = [each.split(":")[1] for each in references if each.startswith(f"{name}:")]
        prefix = f"{projection.name_alias or view.name}__" if full_names else ""
        keys = projection.join_key_map or {column.name: column.name for column in view.entity_columns}
        return cls(view, {feature: prefix + feature for feature in names}, keys)


def reason_for_feast(
    entity_df: object, requested: list[RequestedView], on_demand: bool, filter_by_created_timestamp: bool
) -> str | None:
    """Return the reason why Feast's own store has to plan a join, or None.

    With `filter_by_created_timestamp`, a row has to be older than the moment by two timestamps at once, and `ASOF`
    compares one. For the other cases Feast has special rules or errors.
    """
    if not isinstance(entity_df, pd.DataFrame):
        return "the wanted rows are not a data frame"
    if on_demand:
        return "on-demand features are asked for"
    if filter_by_created_timestamp:
        return "rows are to be filtered by when they were created"
    columns = list(entity_df.columns)
    for each in requested:
        if not isinstance(each.view.batch_source, FileSource):
            return f"the source of {each.view.name} is not of files"
        if missing := set(each.keys.values()) - set(columns):
            return f"the wanted rows have no {', '.join(sorted(missing))}"
        columns += each.features.values()
    if len(set(columns)) < len(columns):
        return "two columns would have one name"
    return None


def join_latest(rows: Table, moment: str, requested: RequestedView, repo_path: str) -> Table:
    """Return the rows with the features of their key's latest row up to `moment`, or nulls.

    Of two rows of one key and moment, the one created last counts; without such a column, any of them.
    """
    source = requested.view.batch_source
    assert isinstance(source, FileSource)  # any other is left to Feast
    table = duckdb._read_data_source(source, repo_path)
    for old, new in source.field_mapping.items():
        if old in table.columns:
            table = table.rename({new: old})
    utc = Timestamp(timezone="UTC")
    made, created = source.timestamp_field, source.created_timestamp_column
    table = table.mutate(**{name: table[name].cast(utc) for name in (made, created) if name})
    keys = {KEY.format(number): name for number, name in enumerate(requested.keys)}
    features = {new: old for old, new in requested.features.items()}
    table = table.select(
        **{name: table[column] for name, column in ({**keys, MADE: made} | features).items()},
        **({CREATED: table[created]} if created else {}),
    )
    # A join that sorts: what no row asks for is better left out before.
    table = table.semi_join(rows, _same(rows, table, requested))
    if created:
        table = by_ibis.deduplicate(table, [*keys, MADE], MADE, CREATED)
    joined = rows.asof_join(table, rows[moment].cast(utc) >= table[MADE], _same(rows, table, requested))
    if requested.view.ttl:
        alive = joined[MADE] + ibis.literal(requested.view.ttl) >= joined[moment]
        joined = joined.mutate(**{name: alive.ifelse(joined[name], ibis.null()) for name in features})
    return joined.select(*rows.columns, *features)


def _same(rows: Table, table: Table, requested: RequestedView) -> list[BooleanValue]:
    return [
        rows[column] == table[KEY.format(number)] for number, column in enumerate(requested.keys.values())
    ]
