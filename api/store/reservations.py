"""Reserves names for uploads: the first step of every file's way, before its first byte.

A row of `uploads` is the reservation of its (session, path, revision); the unique constraint decides between racing
clients. Statements are made once, with parameters: to build one costs more than to run it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, func, insert, literal_column, select

from api.database.tables import files, now, sessions, upload_chunks, uploads, withdrawn_uploads
from api.store.upload import Upload
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.errors import NameTaken, NotFound, UploadConflict, UploadGone
from transfer.wire.protocol import UploadDeclaration, UploadState

PROMISE_S = 600.0
"""For how long after its last sign of life space is kept for the rest of an upload."""

RequireSpace = Callable[[int, int], None]
"""Refuses a new upload, given its size and what other uploads have yet to receive."""

# Written out, not bound: only so SQLite sees that the index of unfinished uploads will do.
UNFINISHED = uploads.c.state == literal_column(f"'{UploadState.RECEIVING.value}'")

COLUMNS = (
    uploads.c.id,
    uploads.c.session_id,
    sessions.c.name.label("session"),
    uploads.c.path,
    uploads.c.revision,
    uploads.c.size_bytes,
    uploads.c.state,
    uploads.c.generation,
    uploads.c.one_request,
    uploads.c.touched_at,
)

_BY_ID = select(*COLUMNS).join_from(uploads, sessions).where(uploads.c.id == bindparam("id"))
_WITHDRAWN = select(withdrawn_uploads.c.id).where(withdrawn_uploads.c.id == bindparam("id"))
_NEWEST_REVISION = (
    select(func.max(files.c.revision))
    .where(files.c.session_id == sessions.c.id, files.c.path == bindparam("path"))
    .scalar_subquery()
)
_HOLDER = (
    select(*COLUMNS, sessions.c.id.label("of_session"), _NEWEST_REVISION.label("newest_revision"))
    .join_from(
        sessions,
        uploads,
        and_(
            uploads.c.session_id == sessions.c.id,
            uploads.c.path == bindparam("path"),
            uploads.c.revision == bindparam("revision"),
        ),
        isouter=True,
    )
    .where(sessions.c.name == bindparam("session"))
)
_ALIVE = (
    select(uploads.c.size_bytes, func.count(upload_chunks.c.chunk))
    .join_from(uploads, upload_chunks, isouter=True)
    .where(UNFINISHED, uploads.c.touched_at > bindparam("since"))
    .group_by(uploads.c.id)
)
_RESERVE = insert(uploads)


def upload_of(row: Any) -> Upload:
    """Return the upload that a row of `COLUMNS`, by name, tells of."""
    return Upload(**{column.name: row[column.name] for column in COLUMNS} | {"state": UploadState(row["state"])})


def find_upload(connection: Connection, upload_id: UUID) -> Upload | None:
    """Return an upload; None where there is none (any more)."""
    row = connection.execute(_BY_ID, {"id": upload_id}).mappings().one_or_none()
    return None if row is None else upload_of(row)


def reserve(
    connection: Connection,
    upload_id: UUID,
    declaration: UploadDeclaration,
    *,
    require_space: RequireSpace,
    one_request: bool,
) -> tuple[Upload, bool]:
    """Reserve a file's name for an upload, or find what has it; return that and whether it is new.

    Parameters
    ----------
    one_request
        The upload lives as long as the request that makes it, and its id is as young.

    Raises
    ------
    NotFound, UploadConflict, NameTaken, UploadGone, ReceiverFull
        See `api.store.upload_book.UploadBook.declare`.
    """
    if not one_request and (own := _declared_before(connection, upload_id, declaration)):
        return own, False
    wanted = {"session": declaration.session, "path": declaration.path, "revision": declaration.revision}
    row = connection.execute(_HOLDER, wanted).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no session {declaration.session!r}")
    if row["id"] is not None:
        return _already_there(upload_of(row), declaration), False
    _require_next(declaration, row["newest_revision"] or 0)
    require_space(declaration.size_bytes, _promised_bytes(connection))
    made = Upload(
        id=upload_id,
        session_id=row["of_session"],
        session=declaration.session,
        path=declaration.path,
        revision=declaration.revision,
        size_bytes=declaration.size_bytes,
        state=UploadState.RECEIVING,
        generation=1,
        one_request=one_request,
        touched_at=now(),
    )
    connection.execute(_RESERVE, _row(made))
    return made, True


def _row(upload: Upload) -> dict[str, Any]:
    stored = {column.name for column in uploads.c}
    values = {column.name: getattr(upload, column.name) for column in COLUMNS if column.name in stored}
    return values | {"state": upload.state.value}


def _declared_before(connection: Connection, upload_id: UUID, declaration: UploadDeclaration) -> Upload | None:
    own = find_upload(connection, upload_id)
    if own is None:
        if connection.execute(_WITHDRAWN, {"id": upload_id}).first():
            raise UploadGone
        return None
    meant = (declaration.session, declaration.path, declaration.revision, declaration.size_bytes)
    if (own.session, own.path, own.revision, own.size_bytes) != meant:
        raise UploadConflict(f"upload {upload_id} was declared for {own.name} with {own.size_bytes} bytes")
    return own


def _already_there(other: Upload, declaration: UploadDeclaration) -> Upload:
    """Return the committed upload that has the name, if it may be this file."""
    if other.committed:
        if other.size_bytes != declaration.size_bytes:
            raise NameTaken(f"{other.name} is committed with {other.size_bytes} bytes")
        return other
    members = {"upload_id": str(other.id), "state": other.state.value}
    if other.size_bytes != declaration.size_bytes:
        raise NameTaken(
            f"{other.name} is reserved by upload {other.id} for {other.size_bytes} bytes",
            hint="Leave it alone while it grows; one that was given up can be withdrawn.",
            **members,
        )
    raise UploadConflict(
        f"{other.name} is reserved by upload {other.id}",
        hint="Continue that upload: ask which ranges it lacks, send them, commit.",
        **members,
    )


def _require_next(declaration: UploadDeclaration, newest: int) -> None:
    if declaration.revision != newest + 1:
        raise NameTaken(
            f"{declaration.path} has {newest or 'no'} committed revision{'s' if newest else ''}; "
            f"the next is {newest + 1}, not {declaration.revision}"
        )


def _promised_bytes(connection: Connection) -> int:
    """Return how many bytes the uploads that are alive have yet to receive."""
    alive = connection.execute(_ALIVE, {"since": now() - timedelta(seconds=PROMISE_S)})
    # A last chunk counts as whole, though it may be short.
    return sum(max(0, size - chunk_count * CHUNK_BYTES) for size, chunk_count in alive)
