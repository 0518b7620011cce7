"""Imports of a process that others are forked from, since they take each process seconds."""

from __future__ import annotations

import gc
from importlib import import_module

from sqlalchemy.orm import configure_mappers

import tests.unsynced  # noqa: F401
from twinvec.startup import skip_unused_imports

# Those that are imported where they are first used.
LATE = (
    "feast.infra.compute_engines.local.job",
    "feast.infra.offline_stores.duckdb",
    "feast.infra.online_stores.postgres_online_store.postgres",
    "feast.infra.online_stores.sqlite",
    "feast.infra.passthrough_provider",
    "feast.infra.registry.sql",
    "feast.repo_operations",
    "mlflow.lightgbm",
    "mlflow.sentence_transformers",
    "mlflow.store.model_registry.sqlalchemy_workspace_store",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "mlflow.tracing.export.utils",
    "mlflow.tracing.processor.otel",
    "pipelines.ranking.loading",
    "pipelines.related.held_out",
    "pipelines.update.aligned",
    "pipelines.update.content",
    "pipelines.update.models",
    "pipelines.update.ranking",
    "pipelines.update.related",
    "twinvec.features.asof",
    "twinvec.tracking.exporting",
    "twinvec.tracking.loading",
    "twinvec.tracking.reports",
)

skip_unused_imports()
gc.set_threshold(10_000, 10, 10)
for name in LATE:
    import_module(name)
# Imports the declarations of all spaces.
import_module("twinvec.spaces").spaces()
configure_mappers()
gc.freeze()  # what was imported is not looked through again in each process
