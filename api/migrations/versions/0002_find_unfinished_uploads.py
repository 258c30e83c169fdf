"""Find unfinished uploads without looking at all that were ever committed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Apply."""
    unfinished = sa.text("state = 'receiving'")
    op.create_index(
        op.f("ix_uploads_unfinished"), "uploads", ["touched_at"], sqlite_where=unfinished, postgresql_where=unfinished
    )
