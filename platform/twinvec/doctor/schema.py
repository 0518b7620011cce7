"""Checks of the registry: its database answers, and has the tables of this code."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sqlalchemy import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from registry.database import current_revision, latest_revision, migrate, open_engine
from twinvec.doctor.finding import Finding
from twinvec.settings import Settings

STORE = "registry"


def is_new(settings: Settings) -> bool:
    """Return True if the home is empty: it has neither a registry nor data that one would name."""
    file = _file(settings)
    kept = [settings.paths.snapshots, settings.paths.versions, settings.paths.qdrant]
    return file is not None and not file.is_file() and not any(map(_has_something, kept))


def check(settings: Settings) -> Iterator[Finding]:
    """Check the database without migrating it, as opening a workspace would."""
    shown = make_url(settings.registry_url()).render_as_string()
    file = _file(settings)
    if file is not None and not file.is_file():
        yield Finding(
            STORE,
            shown,
            "is not there, but the home has snapshots or versions",
            "see that home and registry.url are right, or bring the file back from a backup",
        )
        return
    engine = open_engine(settings.registry_url(), settings.home)
    try:
        with engine.connect() as connection:
            revision = current_revision(connection)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        yield Finding(STORE, shown, f"cannot be used: {reason}", "see that registry.url is right and answers")
        return
    finally:
        engine.dispose()
    newest = latest_revision()
    if (revision or "") > newest:
        yield Finding(
            STORE,
            shown,
            f"has tables of revision {revision}; this code knows them up to {newest}",
            "update Twinvec",
        )
    elif revision != newest:
        yield Finding(
            STORE,
            shown,
            f"has tables of revision {revision or 'none'}, not {newest}",
            "`twinvec status` brings them up to date, as any command does",
            partial(_migrate, settings.registry_url(), settings.home),
        )


def _file(settings: Settings) -> Path | None:
    url = make_url(settings.registry_url())
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def _has_something(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _migrate(url: str, home: Path) -> None:
    engine: Engine = open_engine(url, home)
    migrate(engine)
    engine.dispose()
