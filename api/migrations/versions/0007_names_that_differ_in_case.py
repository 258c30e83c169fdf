"""Keep which names of files, folders, stems and sessions are taken, so that one that differs only in case is found.

Databases of older versions may have several of them; each stays.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import sqlalchemy as sa
from alembic import op
from blake3 import blake3

revision = "0007"
down_revision = "0006"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AT_ONCE = 5000
LONGEST_BYTES = 400
ADD = sa.text(
    "INSERT INTO names (session_id, folder, leaf, is_stem, path) VALUES (:session_id, :folder, :leaf, :is_stem, :path)"
    " ON CONFLICT DO NOTHING"
)


def upgrade() -> None:
    """Apply."""
    op.add_column("sessions", sa.Column("folded", sa.String(length=100), nullable=True))
    op.execute("UPDATE sessions SET folded = lower(name)")  # names of sessions are ASCII
    op.create_index(op.f("ix_sessions_folded"), "sessions", ["folded"])
    op.create_table(
        "names",
        sa.Column("session_id", NUMBER, nullable=False),
        sa.Column("folder", sa.String(length=400), nullable=False),
        sa.Column("leaf", sa.String(length=400), nullable=False),
        sa.Column("is_stem", sa.Boolean(), nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_names_session_id")),
        sa.PrimaryKeyConstraint("session_id", "folder", "leaf", "is_stem", "path", name=op.f("pk_names")),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    for session_id in connection.scalars(sa.text("SELECT id FROM sessions ORDER BY id")).all():
        for table in ("files", "uploads", "lost_files", "tombstones"):
            _add(connection, session_id, _with_folders(_named(connection, session_id, table, "path")), is_stem=False)
        stems = _named(connection, session_id, "claimed_exposures", "stem")
        _add(connection, session_id, _with_folders(stems, itself=False), is_stem=False)
        _add(connection, session_id, _named(connection, session_id, "claimed_exposures", "stem"), is_stem=True)


def _named(connection: sa.Connection, session_id: int, table: str, column: str) -> Iterator[str]:
    """Yield the names in a column, a page at a time."""
    page = sa.text(
        f"SELECT DISTINCT {column} FROM {table}"  # noqa: S608 - the names are in this file
        f" WHERE session_id = :session_id AND {column} > :after ORDER BY {column} LIMIT {AT_ONCE}"
    )
    after = ""
    while names := connection.scalars(page, {"session_id": session_id, "after": after}).all():
        yield from names
        after = names[-1]


def _with_folders(paths: Iterable[str], *, itself: bool = True) -> Iterator[str]:
    """Yield each path, unless only its folders are wanted, and each folder of it once."""
    seen: set[str] = set()
    for path in paths:
        if itself:
            yield path
        folder = path.rpartition("/")[0]
        while folder and folder not in seen:
            seen.add(folder)
            yield folder
            folder = folder.rpartition("/")[0]


def _add(connection: sa.Connection, session_id: int, names: Iterable[str], *, is_stem: bool) -> None:
    names = iter(names)
    while some := list(islice(names, AT_ONCE)):
        connection.execute(ADD, [{"session_id": session_id, "is_stem": is_stem} | _key(path) for path in some])


def _key(path: str) -> dict[str, Any]:
    folder, _, leaf = _folded(path).rpartition("/")
    return {"folder": _shortened(folder), "leaf": _shortened(leaf), "path": path}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _shortened(text: str) -> str:
    encoded = text.encode()
    if len(encoded) <= LONGEST_BYTES:
        return text
    digest = blake3(encoded).hexdigest(length=16)
    return f"{encoded[: LONGEST_BYTES - len(digest) - 2].decode(errors='ignore')}//{digest}"
