"""Remember the alias of every live release; releases of sellers were made live without it."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    releases = sa.table(
        "releases",
        sa.column("name", sa.String),
        sa.column("collection", sa.String),
        sa.column("state", sa.String),
    )
    aliases = sa.table(
        "aliases",
        sa.column("name", sa.String),
        sa.column("collection", sa.String),
        sa.column("updated_at", sa.DateTime(timezone=True)),
    )
    known = sa.select(aliases.c.name)
    live = sa.select(
        releases.c.name, releases.c.collection, sa.literal(datetime.now(UTC), sa.DateTime(timezone=True))
    ).where(releases.c.state == "live", releases.c.name.not_in(known))
    op.execute(aliases.insert().from_select(["name", "collection", "updated_at"], live))


def downgrade() -> None:
    """Leave the rows: an alias that is remembered does no harm."""
