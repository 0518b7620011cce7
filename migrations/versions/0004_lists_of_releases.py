"""The version of lists that a release answers from, beside the version of its vectors."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A table of its own: SQLite adds no column with a named foreign key, and copies no table that others refer to.
    op.create_table(
        "release_lists",
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["releases.id"], name="fk_release_lists_release_id"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_release_lists_version_id"),
        sa.PrimaryKeyConstraint("release_id", name="pk_release_lists"),
    )
    op.create_index("ix_release_lists_version_id", "release_lists", ["version_id"])


def downgrade() -> None:
    op.drop_table("release_lists")
