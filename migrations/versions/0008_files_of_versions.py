"""The digests of a version's files; older versions have none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("files", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("versions", "files")
