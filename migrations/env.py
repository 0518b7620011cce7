"""Alembic's entry point: through `registry.database.migrate`, or through the `alembic` command."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrationScript
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from registry.database import latest_revision, open_engine
from registry.models import STATE, Base, HomePath, UtcDateTime


def number_revision(_context: MigrationContext, _revision: Any, scripts: Iterable[MigrationScript]) -> None:
    """Give a new revision the next number: `migrate` tells older from newer by it."""
    for script in scripts:
        script.rev_id = f"{int(latest_revision()) + 1:04}"


def render_type(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Write our own column types as the plain ones below them: migrations outlive the models."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, HomePath):
        return "sa.String()"
    if kind == "type" and item is STATE:
        return f"sa.String({STATE.length})"
    return False


def run(connection: Connection) -> None:
    """Migrate over `connection`, inside the transaction it is in."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite cannot alter most of a table in place
        render_item=render_type,
        process_revision_directives=number_revision,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("migrations run against a database; Alembic's --sql mode is not supported")

opened: Connection | None = context.config.attributes.get("connection")
if opened is not None:
    run(opened)
else:
    from twinvec.settings import load_settings

    with open_engine(load_settings().registry_url()).begin() as opened:
        run(opened)
