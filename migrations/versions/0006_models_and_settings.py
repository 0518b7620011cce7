"""Remember the digest of the files of each version's model, and the settings that the version was made with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("model_files", sa.String(length=64), nullable=True))
    op.add_column("versions", sa.Column("settings", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("versions", "settings")
    op.drop_column("versions", "model_files")
