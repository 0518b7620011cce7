"""Settings of the stores: where snapshots, features, runs and vectors are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Group(BaseModel):
    """A group of settings: unknown keys are refused, values cannot be changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def deciding(self) -> dict[str, Any]:
        """What decides the result, as JSON-like values: if these differ, what was made is out of date."""
        return self.model_dump(mode="json")


SourceColumn = Literal[
    "order_id",
    "session_id",
    "product_id",
    "time",
    "title",
    "language",
    "category",
    "price",
    "currency",
    "marketplace",
    "brand",
    "image",
]


class IngestSettings(Group):
    """How sources become snapshots."""

    max_quarantined: float = Field(
        0.05, ge=0, le=1, description="Share of rows that may break the contract before the ingest fails."
    )
    memory_limit: str = Field(
        "4GB",
        pattern=r"^\d+(\.\d+)?\s?(MB|GB|MiB|GiB)$",
        description="DuckDB's memory limit; beyond it, disk is used.",
    )
    max_basket: int = Field(
        200,
        ge=2,
        description="Baskets with more distinct products than this make no pairs (resellers, robots).",
    )
    columns: dict[SourceColumn, str] = Field(
        {},
        description="Names of columns in the header of an `orders` source, where they are not Twinvec's own: "
        '`{order_id = "Person", product_id = "item"}`.',
    )


class RegistrySettings(Group):
    """The registry's database."""

    url: SecretStr | None = Field(
        None, description="SQLAlchemy URL, e.g. `postgresql+psycopg://…`; SQLite in the home if not set."
    )
    user: str | None = Field(
        None,
        description="Who is recorded as having changed a state; `user@host` of the process if not set.",
    )


class FeastSettings(Group):
    """The feature store."""

    config: Path | None = Field(
        None, description="A `feature_store.yaml` to use in place of the one in `feature_repo/`."
    )
    materialize: bool = Field(True, description="Put a live release's vectors into the online store.")


class MlflowSettings(Group):
    """Where training runs are logged."""

    tracking_uri: SecretStr | None = Field(
        None, description="A tracking server or database; SQLite in the home if not set."
    )


class QdrantSettings(Group):
    """Where vectors are searched."""

    url: str | None = Field(None, description="A Qdrant server; Qdrant Edge in the home if not set.")
    api_key: SecretStr | None = Field(None, description="The server's key.")
    timeout: int = Field(60, ge=1, description="Seconds before a call to the server is given up.")
    batch: int = Field(1000, ge=1, description="Points in one upsert.")
    m: int = Field(16, ge=4, description="HNSW: links a point of the target graph.")
    ef_construct: int = Field(128, ge=8, description="HNSW: candidates looked at while building.")
    ef: int = Field(
        128,
        ge=8,
        description="HNSW: candidates looked at in a query, raised at publishing if they find too little.",
    )
    max_ef: int = Field(2048, ge=8, description="The most candidates it is raised to.")
    full_scan_threshold: int = Field(
        10_000, ge=1, description="KiB of vectors under which a segment is scanned whole."
    )
    min_recall: float = Field(
        0.95,
        ge=0,
        le=1,
        description="Least recall@10 of the index against exact search for a release to be ready, "
        "over all products and under every filter that is tried.",
    )
    verify_sample: int = Field(200, ge=1, description="Products queried to measure that recall.")


class RetentionSettings(Group):
    """What `twinvec prune` keeps, beside what is live and what was needed to make what is kept."""

    releases: int = Field(
        3, ge=1, description="Newest releases; the live one, and what a rollback goes back to, stay anyway."
    )
    versions: int = Field(3, ge=1, description="Newest versions of each space.")
