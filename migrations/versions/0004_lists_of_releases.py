"""Pin the version of lists that a release answers from, beside the version of its vectors."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # In SQL, since Alembic would copy the whole table on SQLite.
    op.execute(
        "ALTER TABLE releases ADD COLUMN lists_id INTEGER CONSTRAINT fk_releases_lists_id REFERENCES versions (id)"
    )
    op.create_index("ix_releases_lists_id", "releases", ["lists_id"])


def downgrade() -> None:
    op.drop_index("ix_releases_lists_id", "releases")
    with op.batch_alter_table("releases") as table:
        table.drop_constraint("fk_releases_lists_id", type_="foreignkey")
        table.drop_column("lists_id")
