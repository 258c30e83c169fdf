"""Keep which token began a session, so that sessions are counted for each."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Apply."""
    op.add_column("sessions", sa.Column("token_id", sa.String(length=8), nullable=True))
    op.create_index(op.f("ix_sessions_token_id"), "sessions", ["token_id"])
