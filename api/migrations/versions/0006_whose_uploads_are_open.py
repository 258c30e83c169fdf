"""Keep which token declared an upload, so that promised space and open uploads are counted for each."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply."""
    op.add_column("uploads", sa.Column("token_id", sa.String(length=8), nullable=True))
    op.create_index("ix_uploads_token_id", "uploads", ["token_id"])
