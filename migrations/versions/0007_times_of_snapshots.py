"""The times that snapshots are of; those of older snapshots are the times of their ingests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    times = op.create_table(
        "snapshot_times",
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("snapshot_id", sa.String(length=16), nullable=False),
        sa.Column("stated", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshots.id"], name="fk_snapshot_times_snapshot_id"),
        sa.PrimaryKeyConstraint("as_of", name="pk_snapshot_times"),
    )
    op.create_index("ix_snapshot_times_snapshot_id", "snapshot_times", ["snapshot_id"])
    moment = sa.DateTime(timezone=True)
    snapshots = sa.table(
        "snapshots",
        sa.column("id", sa.String),
        sa.column("created_at", moment),
        sa.column("ingested_at", moment),
    )
    rows = op.get_bind().execute(sa.select(snapshots)).all()
    # Contents that were ingested again are two moments only if others came in between.
    moments = dict(
        [(each.ingested_at, each.id) for each in rows] + [(each.created_at, each.id) for each in rows]
    )
    before = None
    for as_of, key in sorted(moments.items()):
        if key != before:
            op.execute(times.insert().values(as_of=as_of, snapshot_id=key, stated=False))
        before = key


def downgrade() -> None:
    op.drop_table("snapshot_times")
