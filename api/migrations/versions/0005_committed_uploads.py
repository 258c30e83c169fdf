"""Keep open uploads apart from committed ones, of which only the id is needed, and remember names of lost files."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "committed_uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("file", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["file"], ["files.id"], name=op.f("fk_committed_uploads_file"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_committed_uploads")),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO committed_uploads (id, file) SELECT uploads.id, files.id FROM uploads JOIN files"
        " ON files.session_id = uploads.session_id AND files.path = uploads.path AND files.revision = uploads.revision"
        " WHERE uploads.state = 'committed'"
    )
    op.create_index(op.f("ix_committed_uploads_file"), "committed_uploads", ["file"])
    _keep_open_uploads()
    op.create_table(
        "lost_files",
        sa.Column("session_id", NUMBER, nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("lost_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_lost_files_session_id")),
        sa.PrimaryKeyConstraint("session_id", "path", "revision", name=op.f("pk_lost_files")),
    )


def _keep_open_uploads() -> None:
    # The chunks go first, in one pass: the cascade would look for each upload's chunks apart.
    op.execute("DELETE FROM upload_chunks WHERE upload_id IN (SELECT id FROM uploads WHERE state = 'committed')")
    op.execute("DELETE FROM uploads WHERE state = 'committed'")
    op.drop_index("ix_uploads_unfinished", "uploads")  # SQLite drops no column that an index names
    op.drop_column("uploads", "state")
    op.create_index("ix_uploads_touched_at", "uploads", ["touched_at"])
