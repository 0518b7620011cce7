"""The registry's tables.

Rows name everything else: Parquet files, Feast views, MLflow runs, Qdrant collections. A row is written last, so that
all that it names exists.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class State(StrEnum):
    """State of a version or a release; only releases become live and retired.

    The row, the history and the lineage of a removed version or release stay; its data are deleted.
    `registry.operations.move` changes a state, and knows which state may follow which.
    """

    BUILDING = "building"
    READY = "ready"
    LIVE = "live"
    RETIRED = "retired"
    REMOVED = "removed"
    FAILED = "failed"


# A release in one of these is whole: it can be promoted.
WHOLE = (State.READY, State.LIVE, State.RETIRED)


# Attribute of an engine's dialect: the folder of the home, a `Path`.
HOME = "twinvec_home"


def utc_now() -> datetime:
    """Return the present moment, with its time zone."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """Moment with its time zone, also on databases that store none (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; a moment without a time zone is refused, since it is ambiguous."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC, which SQLite stores without its zone."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class HomePath(TypeDecorator[str]):
    """Path of a file or folder: kept relative to the home if it is below it, and read as an absolute path.

    So the rows of a home that was moved or copied name its own files. `registry.database.open_engine` tells the home.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the path relative to the home; a path elsewhere as it is."""
        folder: Path | None = getattr(dialect, HOME, None)
        if value is None or folder is None or not Path(value).is_relative_to(folder):
            return value
        return str(Path(value).relative_to(folder))

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the absolute path."""
        folder: Path | None = getattr(dialect, HOME, None)
        return str(folder / value) if value is not None and folder is not None else value


# Kept as plain text, by value: PostgreSQL's own enum types need a migration for each new member.
STATE = Enum(
    State, native_enum=False, length=16, values_callable=lambda states: [state.value for state in states]
)


class Base(DeclarativeBase):
    """Base of the registry's tables; constraint names are fixed so that migrations can drop them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: JSON, datetime: UtcDateTime, State: STATE}  # noqa: RUF012


class Snapshot(Base):
    """Immutable copy of a catalogue and its behaviour logs, named by the hash of its contents."""

    __tablename__ = "snapshots"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    path: Mapped[str] = mapped_column(HomePath)
    source: Mapped[str]
    format: Mapped[str] = mapped_column(String(32))
    products: Mapped[int]
    report: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    # When the same contents were last ingested.
    ingested_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)


class SnapshotTime(Base):
    """Time from which the catalogue was as in a snapshot, until the next time of all.

    A snapshot has several if the catalogue went back to it. The first is the `event_timestamp` of its features.
    """

    __tablename__ = "snapshot_times"

    # Two snapshots of one time would leave open what the catalogue was then.
    as_of: Mapped[datetime] = mapped_column(primary_key=True)
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshots.id"), index=True)
    # False: nobody named a time, so it is that of the ingest.
    stated: Mapped[bool]


class VersionInput(Base):
    """Edge of the lineage: `version` was made from `input`."""

    __tablename__ = "version_inputs"

    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    input_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True, index=True)


class Version(Base):
    """Version of a space, `<space>@v<number>`: made from one snapshot by one run, and never changed.

    The product graph is a space, too, with edges in place of vectors and without a dimension; so are lists of products.
    """

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("space", "number", name="uq_versions_space_number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    space: Mapped[str] = mapped_column(String(32))
    number: Mapped[int]
    state: Mapped[State]
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshots.id"), index=True)
    # What the version would be made from if it were made now; equal fingerprints mean nothing is out of date.
    fingerprint: Mapped[str] = mapped_column(String(16), index=True)
    digest: Mapped[str | None] = mapped_column(String(16))
    manifest: Mapped[dict[str, Any]] = mapped_column(default=dict)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    path: Mapped[str] = mapped_column(HomePath)
    dimension: Mapped[int | None]
    rows: Mapped[int | None]
    run_id: Mapped[str | None] = mapped_column(String(64))
    model_uri: Mapped[str | None]
    # SHA-256 of the model's files; older versions have none.
    model_files: Mapped[str | None] = mapped_column(String(64))
    # SHA-256 of each file of the folder that training wrote, by its path there; older versions have none.
    files: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    # The settings that decided it, by group; older versions have none.
    settings: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    snapshot: Mapped[Snapshot] = relationship(lazy="joined")
    inputs: Mapped[list[Version]] = relationship(
        secondary="version_inputs",
        primaryjoin="Version.id == VersionInput.version_id",
        secondaryjoin="Version.id == VersionInput.input_id",
        lazy="selectin",
        join_depth=4,
    )

    @property
    def has_view(self) -> bool:
        """True if the version has rows in Feast: vectors, or a table of something else."""
        return bool(self.manifest.get("fields"))

    @property
    def name(self) -> str:
        """Name for people: `text@v3`."""
        return f"{self.space}@v{self.number}"

    @property
    def view(self) -> str:
        """Name of the Feast feature view: `text__v3`."""
        return f"{self.space}__v{self.number}"


class ReleaseLists(Base):
    """Version of lists that a release answers from; a release without lists has no row."""

    __tablename__ = "release_lists"

    release_id: Mapped[int] = mapped_column(ForeignKey("releases.id"), primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), index=True)


class Release(Base):
    """Release: a version of a served space, all it was made from, and the collection that holds it."""

    __tablename__ = "releases"
    __table_args__ = (
        UniqueConstraint("name", "number", name="uq_releases_name_number"),
        # At most one live release a name, whoever promotes.
        Index(
            "uq_releases_live",
            "name",
            unique=True,
            sqlite_where=text("state = 'live'"),
            postgresql_where=text("state = 'live'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    number: Mapped[int]
    state: Mapped[State]
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), index=True)
    collection: Mapped[str]
    verification: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    promoted_at: Mapped[datetime | None]

    version: Mapped[Version] = relationship(lazy="joined")
    # Version that lists the answers of `version`, if there is one.
    lists: Mapped[Version | None] = relationship(secondary="release_lists", lazy="joined")

    @property
    def lists_id(self) -> int | None:
        """Id of the version of lists, or None."""
        return self.lists.id if self.lists is not None else None

    @property
    def label(self) -> str:
        """Name for people: `related_products@v7`."""
        return f"{self.name}@v{self.number}"


class Alias(Base):
    """Qdrant alias and its collection; kept here because a server's snapshots lose aliases."""

    __tablename__ = "aliases"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    collection: Mapped[str]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)


class Move(Base):
    """Change of state of a version or a release, named in plain text, so that it outlives the row."""

    __tablename__ = "moves"
    __table_args__ = (Index("ix_moves_what", "kind", "what"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))  # `version` or `release`
    what: Mapped[str] = mapped_column(String(96))  # `related@v7`, `related_products@v7`
    before: Mapped[State | None]
    after: Mapped[State]
    at: Mapped[datetime] = mapped_column(default=utc_now)
    who: Mapped[str]
    why: Mapped[str]
    run_id: Mapped[str | None] = mapped_column(String(64))


class Switch(Base):
    """Unfinished switch from one live release to another; at most one for each name.

    It is written before the first store changes, and deleted by the transaction that ends the switch. A row that no
    process works on was left by a crash.
    """

    __tablename__ = "switches"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    old_id: Mapped[int | None] = mapped_column(ForeignKey("releases.id"))
    new_id: Mapped[int] = mapped_column(ForeignKey("releases.id"))
    # The store whose turn it is, or was when the process died.
    step: Mapped[str] = mapped_column(String(16))
    # What undoing needs and no other table knows: space → alias → the URI of the model it named, or null.
    models: Mapped[dict[str, Any]]
    who: Mapped[str]
    why: Mapped[str]
    begun_at: Mapped[datetime] = mapped_column(default=utc_now)

    old: Mapped[Release | None] = relationship(lazy="joined", foreign_keys=[old_id])
    new: Mapped[Release] = relationship(lazy="joined", foreign_keys=[new_id])
