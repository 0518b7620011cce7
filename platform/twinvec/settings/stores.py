"""Settings of ingestion and of the stores: registry, features, runs, vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from twinvec.errors import suggestion
from twinvec.settings.group import Group, Operational


class IngestSettings(Group):
    """Ingestion of a source into a snapshot."""

    max_quarantined: float = Field(
        0.05, ge=0, le=1, description="Largest share of rows that may break the data contract."
    )
    memory_limit: Operational[str] = Field(
        "4GB",
        pattern=r"^\d+(\.\d+)?\s?(MB|GB|MiB|GiB)$",
        description="Memory limit of DuckDB. Beyond it, disk is used.",
    )
    max_basket: int = Field(
        200,
        ge=2,
        description="Largest number of distinct products in a basket that makes pairs. Larger ones come from "
        "resellers and robots.",
    )
    columns: dict[str, str] = Field(
        {},
        description="Column names of the source, where they differ from those that the loader expects: "
        '`{order_id = "Person", product_id = "item"}`.',
    )

    missing: list[str] = Field(
        ["nan", "NaT", "NULL", "None", "NA", "N/A", "#N/A", "<NA>"],
        description="Words that stand for a missing value, in any case: no text, id, time or price is read from them.",
    )
    decimal: Literal[".", ","] = Field(
        ".", description="Sign of the decimals in prices that are text; the other one parts thousands."
    )
    time_formats: list[str] = Field(
        [],
        description="Formats of times beside ISO 8601 and numbers since 1970, as of `strptime`: "
        '`["%d/%m/%Y %H:%M"]`. The order of day and month is never guessed.',
    )
    cancelled: list[str] = Field(
        ["cancelled", "canceled", "returned", "return", "refunded", "refund", "void", "voided"],
        description="Values of the column `status`, in any case, of order lines that make no pair.",
    )
    cancelled_prefix: str = Field(
        "C",
        description="What the number of a cancelled order begins with, as `C489436`, in a log that also has plain "
        "numbers. Empty: nothing.",
    )
    exclude: list[str] = Field(
        [],
        description="Patterns (RE2) of whole product ids that are no products, such as postage: "
        '`["POST", "DOT", "BANK.*"]`.',
    )

    @field_validator("time_formats", "exclude")
    @classmethod
    def _can_be_used(cls, values: list[str], info: ValidationInfo) -> list[str]:
        if not values:
            return values
        import duckdb  # only then, as it takes long to import

        for value in values:
            query = (
                "SELECT regexp_full_match('', $value)"
                if info.field_name == "exclude"
                else "SELECT try_strptime('', $value)"
            )
            try:
                duckdb.connect().execute(query, {"value": value})
            except duckdb.Error as error:
                raise ValueError(f"{value!r} cannot be used: {error}") from error
        return values

    @field_validator("columns")
    @classmethod
    def _are_read_by_a_loader(cls, columns: dict[str, str]) -> dict[str, str]:
        if columns:
            from twinvec.catalogue.loaders import source_columns

            readable = {column for each in source_columns().values() for column in each}
            for column in columns:
                if column not in readable:
                    raise ValueError(
                        f"no loader reads a column {column!r}; {suggestion(column, sorted(readable))}"
                    )
        return columns


class RegistrySettings(Group):
    """Database of the registry."""

    url: Operational[SecretStr | None] = Field(
        None, description="SQLAlchemy URL, such as `postgresql+psycopg://…`. If not set, SQLite in the home."
    )
    user: Operational[str | None] = Field(
        None,
        description="Name that is recorded with each change of state. If not set, `user@host` of the process.",
    )


class FeastSettings(Group):
    """Feature store."""

    config: Operational[Path | None] = Field(
        None, description="Path of a `feature_store.yaml` that replaces the one in `feature_repo/`."
    )
    sources: Operational[Literal["file", "spark"]] = Field(
        "file",
        description="Kind of the sources that `feast apply` registers. Feast's Spark store reads `spark` alone, all "
        "others `file`.",
    )
    materialize: Operational[bool] = Field(
        True, description="Write the vectors of a live release to the online store."
    )


class MlflowSettings(Group):
    """Tracking of training runs and models."""

    tracking_uri: Operational[SecretStr | None] = Field(
        None, description="URI of a tracking server or database. If not set, SQLite in the home."
    )


class QdrantSettings(Group):
    """Vector search."""

    url: Operational[str | None] = Field(
        None, description="URL of a Qdrant server. If not set, Qdrant Edge in the home."
    )
    api_key: Operational[SecretStr | None] = Field(None, description="API key of the server.")
    timeout: Operational[int] = Field(60, ge=1, description="Timeout of a call to the server, in seconds.")
    batch: Operational[int] = Field(1000, ge=1, description="Number of points in one upsert.")
    m: int = Field(16, ge=4, description="HNSW: number of links of a point.")
    ef_construct: int = Field(128, ge=8, description="HNSW: number of candidates while building.")
    ef: int = Field(
        128,
        ge=8,
        description="HNSW: number of candidates in a query. Publishing raises it if recall is below `min_recall`.",
    )
    max_ef: int = Field(2048, ge=8, description="Largest value that `ef` is raised to.")
    full_scan_threshold: int = Field(
        10_000, ge=1, description="Size of a segment's vectors, in KiB, below which it is scanned whole."
    )
    min_recall: float = Field(
        0.95,
        ge=0,
        le=1,
        description="Least recall@10 of the index against exact search, over all products and under every filter "
        "that is tried. A release below it does not become ready.",
    )
    verify_sample: int = Field(200, ge=1, description="Number of products queried to measure that recall.")
    quantization: Literal["none", "scalar", "product", "binary", "auto"] = Field(
        "none",
        description="Codes that a search compares before it rescores with the vectors: `scalar`, a byte a number; "
        "`product`, a byte for four; `binary`, a bit a number. `auto` builds the index with each and takes the "
        "smallest that loses no more than `quantization_loss`. Vectors below `full_scan_threshold` have none.",
    )
    quantization_loss: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of the recall@10 of the index without quantisation, against exact search, that `auto` may "
        "lose.",
    )
    shard_number: Operational[int | None] = Field(
        None, ge=1, description="Server: number of shards of a collection. If not set, one a machine."
    )
    replication_factor: Operational[int | None] = Field(
        None,
        ge=1,
        description="Server: number of machines that hold each shard. If not set, as the server has it.",
    )
    write_consistency_factor: Operational[int | None] = Field(
        None,
        ge=1,
        description="Server: number of machines of a shard that have to accept a write. If not set, as the server has "
        "it.",
    )
    on_disk: Operational[bool] = Field(
        False, description="Server: keep vectors, HNSW graphs and payloads on disk, and cache what is read."
    )


class RetentionSettings(Group):
    """Numbers that `twinvec prune` keeps, beside the live release and the inputs of kept versions."""

    releases: int = Field(
        3,
        ge=1,
        description="Number of newest releases. The live release and the one for a rollback stay in any case.",
    )
    versions: int = Field(3, ge=1, description="Number of newest versions of each space.")
