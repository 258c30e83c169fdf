"""Keep which promises of disk space ended with the connections of their uploads."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Apply."""
    op.add_column("uploads", sa.Column("promise_ended_at", sa.DateTime(timezone=True), nullable=True))
