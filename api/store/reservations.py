"""Reserves names for uploads, which comes before the first byte of every file.

A row of `uploads` reserves its (session, path, revision). If two clients want the same name at the same time, the
unique constraint lets one of them have it. Statements are built once, with parameters: building a statement costs more
than running it.
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
"""How long, after something was last added to an upload, disk space is kept for the rest of it."""

RequireSpace = Callable[[int, int], None]
"""Refuses a new upload that does not fit, given its size and the bytes that other uploads have yet to receive."""

# Not a parameter: SQLite uses the index of unfinished uploads only if the statement contains the value.
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
    """Return the upload of a row that has the columns `COLUMNS`."""
    return Upload(**{column.name: row[column.name] for column in COLUMNS} | {"state": UploadState(row["state"])})


def find_upload(connection: Connection, upload_id: UUID) -> Upload | None:
    """Return an upload; None if there is none (any more)."""
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
    """Reserve a file's name for an upload, or find the upload that has it; return that and whether it is new.

    Parameters
    ----------
    one_request
        The upload ends with the request that makes it. Its id is new, so it is not looked for.

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
    """Return the upload that has the name if it is committed and of the same size; otherwise refuse."""
    if other.committed:
        if other.size_bytes != declaration.size_bytes:
            raise NameTaken(f"{other.name} is committed with {other.size_bytes} bytes")
        return other
    members = {"upload_id": str(other.id), "state": other.state.value}
    if other.size_bytes != declaration.size_bytes:
        raise NameTaken(
            f"{other.name} is reserved by upload {other.id} for {other.size_bytes} bytes",
            hint="Wait while it grows. An upload to which nothing is added any more can be withdrawn.",
            **members,
        )
    raise UploadConflict(
        f"{other.name} is reserved by upload {other.id}",
        hint="Continue that upload: ask which ranges are missing, send them, commit.",
        **members,
    )


def _require_next(declaration: UploadDeclaration, newest: int) -> None:
    if declaration.revision != newest + 1:
        raise NameTaken(
            f"{declaration.path} has {newest or 'no'} committed revision{'s' if newest else ''}; "
            f"the next is {newest + 1}, not {declaration.revision}"
        )


def _promised_bytes(connection: Connection) -> int:
    """Return how many bytes other uploads, changed within `PROMISE_S`, have yet to receive."""
    alive = connection.execute(_ALIVE, {"since": now() - timedelta(seconds=PROMISE_S)})
    # A last chunk counts as whole, though it may be short.
    return sum(max(0, size - chunk_count * CHUNK_BYTES) for size, chunk_count in alive)
