"""Keep the paths of snapshots and versions relative to the home, so that it can be moved and copied."""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# The part of a path below the home. What lies elsewhere keeps its absolute path.
IN_A_HOME = {
    "snapshots": re.compile(r"/(snapshots/[0-9a-f]{16})$"),
    "versions": re.compile(r"/(versions/[a-z_]+/v[0-9]+)$"),
}


def upgrade() -> None:
    for name, pattern in IN_A_HOME.items():
        table, rows = _paths(name)
        for key, path in rows:
            below = pattern.search(path)
            if below is not None:
                op.execute(table.update().where(table.c.id == key).values(path=below[1]))


def downgrade() -> None:
    """Make the paths absolute again: the home is the folder of an SQLite registry, else not known here."""
    database = op.get_bind().engine.url.database
    if op.get_bind().dialect.name != "sqlite" or not database:
        return
    for name in IN_A_HOME:
        table, rows = _paths(name)
        for key, path in rows:
            op.execute(
                table.update()
                .where(table.c.id == key)
                .values(path=str(Path(database).parent.absolute() / path))
            )


def _paths(name: str) -> tuple[sa.TableClause, list[tuple[object, str]]]:
    kind = sa.String if name == "snapshots" else sa.Integer
    table = sa.table(name, sa.column("id", kind), sa.column("path", sa.String))
    return table, [(key, path) for key, path in op.get_bind().execute(sa.select(table.c.id, table.c.path))]
