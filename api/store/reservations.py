"""Reserves names for uploads, which comes before the first byte of every file.

A row of `uploads` reserves its (session, path, revision). If two clients want the same name at the same time, the
unique constraint lets one of them have it. Statements are built once, with parameters: building a statement costs more
than running it.
"""

from __future__ import annotations

from typing import Any, Never
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, func, insert, select

from api.database.tables import (
    committed_uploads,
    files,
    lost_files,
    now,
    sessions,
    tombstones,
    uploads,
    withdrawn_uploads,
)
from api.store.on_disk import FILE_COLUMNS, FileRow, file_row
from api.store.promises import RequireSpace, promised_space, require_few_open
from api.store.taken_names import take_path
from api.store.upload import Upload
from transfer.wire.errors import Deleted, LimitReached, NameTaken, NotFound, UploadConflict, UploadGone
from transfer.wire.names import check_path
from transfer.wire.protocol import UploadDeclaration

MAX_FILES = 5_000_000
"""How many committed files a session holds; revisions count too."""

COLUMNS = (
    uploads.c.id,
    uploads.c.session_id,
    sessions.c.name.label("session"),
    uploads.c.path,
    uploads.c.revision,
    uploads.c.size_bytes,
    uploads.c.generation,
    uploads.c.one_request,
    uploads.c.touched_at,
)
_NAMES = tuple(column.name for column in COLUMNS)
_OF_FILE = "file_"
_FILE = tuple(column.label(_OF_FILE + column.name) for column in FILE_COLUMNS)

_BY_ID = select(*COLUMNS).join_from(uploads, sessions).where(uploads.c.id == bindparam("id"))
_COMMITTED_BY_ID = (
    select(*_FILE).join_from(committed_uploads, files).join(sessions).where(committed_uploads.c.id == bindparam("id"))
)
_WITHDRAWN = select(withdrawn_uploads.c.id).where(withdrawn_uploads.c.id == bindparam("id"))
_REVISIONS = files.alias("revisions")
_NEWEST_REVISION = (
    select(func.max(_REVISIONS.c.revision))
    .where(_REVISIONS.c.session_id == sessions.c.id, _REVISIONS.c.path == bindparam("path"))
    .scalar_subquery()
)
_COMMITTED_AS = select(committed_uploads.c.id).where(committed_uploads.c.file == files.c.id).limit(1).scalar_subquery()


_DELETED = (
    select(tombstones.c.reason)
    .where(tombstones.c.session_id == sessions.c.id, tombstones.c.path == bindparam("path"))
    .scalar_subquery()
)


def _named(table: Table) -> ColumnElement[bool]:
    """Return the condition that a row has the wanted session, path and revision."""
    named = (table.c.path == bindparam("path"), table.c.revision == bindparam("revision"))
    return and_(table.c.session_id == sessions.c.id, *named)


_HOLDER = (
    select(
        *COLUMNS,
        *_FILE,
        sessions.c.id.label("of_session"),
        sessions.c.file_count.label("files_there"),
        _NEWEST_REVISION.label("newest_revision"),
        _COMMITTED_AS.label("committed_as"),
        _DELETED.label("deleted_because"),
    )
    .join_from(sessions, uploads, _named(uploads), isouter=True)
    .join(files, _named(files), isouter=True)
    .where(sessions.c.name == bindparam("session"))
)
_WAS_LOST = select(lost_files.c.revision).where(
    lost_files.c.session_id == bindparam("session_id"),
    lost_files.c.path == bindparam("path"),
    lost_files.c.revision == bindparam("revision"),
)
_RESERVE = insert(uploads)
_ADD_COMMITTED = insert(committed_uploads)


def upload_of(row: Any) -> Upload:
    """Return the upload of a row that has the columns `COLUMNS`."""
    return Upload(*[getattr(row, name) for name in _NAMES])


def _committed_upload(upload_id: UUID, file: FileRow) -> Upload:
    return Upload(
        id=upload_id,
        session_id=file.session_id,
        session=file.session,
        path=file.path,
        revision=file.revision,
        size_bytes=file.size_bytes,
        generation=0,
        one_request=False,
        touched_at=now(),
        file=file,
    )


def find_upload(connection: Connection, upload_id: UUID) -> Upload | None:
    """Return an upload; None if there is none (any more)."""
    if row := connection.execute(_BY_ID, {"id": upload_id}).one_or_none():
        return upload_of(row)
    return find_committed(connection, upload_id)


def find_committed(connection: Connection, upload_id: UUID) -> Upload | None:
    """Return a committed upload; None if there is none of that id."""
    row = connection.execute(_COMMITTED_BY_ID, {"id": upload_id}).one_or_none()
    return None if row is None else _committed_upload(upload_id, file_row(row, _OF_FILE))


def add_committed(connection: Connection, upload_id: UUID, file_id: int) -> None:
    """Keep the id of an upload that is committed: its client may ask for it again."""
    connection.execute(_ADD_COMMITTED, {"id": upload_id, "file": file_id})


def reserve(
    connection: Connection,
    upload_id: UUID,
    declaration: UploadDeclaration,
    *,
    require_space: RequireSpace,
    one_request: bool,
    token_id: str | None = None,
    max_open_uploads: int,
) -> tuple[Upload, bool]:
    """Reserve a file's name for an upload, or find the upload that has it; return that and whether it is new.

    A committed upload that is found may be of another size, and the disk may have lost its file.

    Parameters
    ----------
    one_request
        The upload ends with the request that makes it. Its id is new, so it is not looked for.
    token_id
        Of the token that declares it: what uploads were promised is counted for each token.
    max_open_uploads
        How many uploads in parts the token may have to which something was added lately.

    Raises
    ------
    NotFound, UploadConflict, NameTaken, NameDiffersInCase, UploadGone, Deleted, ReceiverFull, RateLimited, LimitReached
        See `api.store.upload_book.UploadBook.declare`.
    """
    if not one_request and (own := _declared_before(connection, upload_id, declaration)):
        return own, False
    wanted = {"session": declaration.session, "path": declaration.path, "revision": declaration.revision}
    row = connection.execute(_HOLDER, wanted).one_or_none()
    if row is None:
        raise NotFound(f"there is no session {declaration.session!r}")
    if row.deleted_because is not None:
        raise deleted(declaration.path, row.deleted_because)
    if row.file_id is not None:
        return _committed_there(connection, row, upload_id), False
    if row.id is not None:
        _refuse_reserved(upload_of(row), declaration)
    _require_next(connection, row, declaration)
    if row.files_there >= MAX_FILES:
        raise LimitReached(
            f"session {declaration.session!r} has {row.files_there} files, a session has at most {MAX_FILES}",
            hint="Start another session for further files (`cryoferry session start NAME`).",
        )
    if not row.newest_revision:
        take_path(connection, row.of_session, declaration.path)
    promised = promised_space(connection, token_id)
    if not one_request:
        require_few_open(connection, token_id, promised, max_open_uploads)
    require_space(declaration.size_bytes, promised)
    made = Upload(
        id=upload_id,
        session_id=row.of_session,
        session=declaration.session,
        path=declaration.path,
        revision=declaration.revision,
        size_bytes=declaration.size_bytes,
        generation=1,
        one_request=one_request,
        touched_at=now(),
    )
    connection.execute(_RESERVE, {"token_id": token_id} | {name: getattr(made, name) for name in _STORED})
    return made, True


def deleted(what: str, reason: str) -> Deleted:
    """Return the error that says that something was deleted on purpose."""
    return Deleted(f"{what} was deleted on the receiver on purpose" + (f": {reason}" if reason else ""))


_STORED = tuple(name for name in _NAMES if name in uploads.c)


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


def _committed_there(connection: Connection, row: Any, upload_id: UUID) -> Upload:
    """Return the committed upload of the file that has the name."""
    file = file_row(row, _OF_FILE)
    if row.committed_as is None:
        add_committed(connection, upload_id, file.id)
    return _committed_upload(row.committed_as or upload_id, file)


def _refuse_reserved(other: Upload, declaration: UploadDeclaration) -> Never:
    """Refuse a name that an upload has reserved which is not committed."""
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


def _require_next(connection: Connection, row: Any, declaration: UploadDeclaration) -> None:
    """Refuse a new file whose name is not allowed, and a revision that neither follows the newest nor was lost.

    A file that an older receiver accepted may have further revisions, and may come again after the disk lost it.
    """
    newest, revision = row.newest_revision or 0, declaration.revision
    wanted = {"session_id": row.of_session, "path": declaration.path, "revision": revision}
    is_next = revision == newest + 1
    if newest and is_next:
        return
    was_lost = connection.execute(_WAS_LOST, wanted).first() is not None
    if not newest and not was_lost:
        check_path(declaration.path)
    if not is_next and not was_lost:
        raise NameTaken(
            f"{declaration.path} has {newest or 'no'} committed revision{'s' if newest else ''}; "
            f"the next is {newest + 1}, not {revision}"
        )
