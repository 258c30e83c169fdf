"""Committed files: send a file in one request, list the files of a session, read a file."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from sqlalchemy import exists, select

from api.access.guard import GuardedRoute, permits
from api.access.permissions import Permission
from api.database.tables import data_folder, files, sessions
from api.http.bulk_requests import CONTENT_ENCODING, whole_number
from api.http.openapi import of_body, parameter, problems
from api.http.problems import answer_of
from api.intake.contract import Announced, ContentDigest
from api.intake.decoding_sink import is_encoded
from api.intake.sources import body_of
from api.intake.whole_file import WholeFile
from api.receiver import receiver_of
from api.routes.reading import CommittedFile
from api.routes.sessions import SessionName, session_id_of
from api.store.on_disk import FILE_COLUMNS, FileRow, file_row, look, must_be_read
from api.store.storage import StatusReader, Storage
from api.store.upload import receipt_of
from transfer.wire import protocol
from transfer.wire.digest import parse_content_digest
from transfer.wire.errors import (
    BadName,
    BadRange,
    BadRequest,
    ChunkCorrupt,
    ClientStalled,
    Deleted,
    FileCorrupt,
    LimitReached,
    NameDiffersInCase,
    NameTaken,
    NotFound,
    ReceiverFull,
    ScopeRejected,
    TooLarge,
    UnsupportedCoding,
    UploadConflict,
)
from transfer.wire.header_fields import format_etag, parse_content_range, parse_range
from transfer.wire.names import check_committed_path, check_session_name
from transfer.wire.protocol import FileList, ListedFile, UploadDeclaration, committed_url
from transfer.wire.receipt import MAX_REVISION, Receipt
from transfer.wire.verification import FileCheck

router = APIRouter(tags=["files"], route_class=GuardedRoute)

PAGE = 1000
_SEND_AGAIN = (
    "Send the file again, or restore it on the receiver; `cryoferry receiver check` there finds all such files."
)
MAX_LENGTH_BYTES = 10**19 - 1  # a larger number is not a length; `max_file_bytes` limits what is accepted


@router.put(
    protocol.FILE,
    dependencies=[permits(Permission.WRITE, is_bulk=True)],
    status_code=201,
    response_class=Response,
    responses={
        201: {"model": Receipt, "description": "The file is durable and visible."},
        200: {"model": Receipt, "description": "The same content was committed before."},
        **problems(
            ScopeRejected,
            NotFound,
            NameTaken,
            NameDiffersInCase,
            UploadConflict,
            Deleted,
            TooLarge,
            UnsupportedCoding,
            BadName,
            ChunkCorrupt,
            ClientStalled,
            ReceiverFull,
            LimitReached,
            UnsupportedCoding,
        ),
    },
    openapi_extra=of_body(
        parameter("session", "path", ""),
        parameter("path", "path", "relative to the session's files"),
        parameter("revision", "query", "", {"type": "integer", "minimum": 1, "maximum": MAX_REVISION, "default": 1}),
        parameter(protocol.H_CONTENT_DIGEST, "header", "RFC 9530, of the body; without it the body is not checked"),
        parameter(protocol.H_CONTENT_RANGE, "header", "only for the whole file; send a part of a file as an upload"),
        CONTENT_ENCODING,
        parameter(
            protocol.H_UPLOAD_LENGTH,
            "header",
            "size of the file, if the body has a Content-Encoding",
            {"type": "integer", "minimum": 0},
        ),
    ),
)
async def put_file(request: Request) -> Response:
    """Send a whole file in one request, as `curl -T` does. The receipt comes when the file is durable and visible."""
    receiver = receiver_of(request)
    session, path = request.path_params["session"], request.path_params["path"]
    revision = whole_number(request.query_params.get("revision", "1"), "revision", 1, MAX_REVISION)
    content_digest = request.headers.get(protocol.H_CONTENT_DIGEST)
    content_range = request.headers.get(protocol.H_CONTENT_RANGE)

    def announced() -> tuple[UploadDeclaration, Announced]:
        check_session_name(session)
        check_committed_path(path)
        encoded = is_encoded(request.headers.get(protocol.H_CONTENT_ENCODING))
        sent = None
        if content_digest is not None:
            sent = ContentDigest(*parse_content_digest(content_digest, is_encoded=encoded))
        size = _size_bytes(request, receiver.settings.max_file_bytes, is_encoded=encoded)
        if content_range is not None and parse_content_range(content_range) != (range(size), size):
            raise BadRequest(  # it would be stored as the whole file, RFC 9110 section 14.5
                f"{path}: Content-Range {content_range!r} is only a part of a file; it was not stored",
                hint="Send the whole file, without -C or -r of curl. `cryoferry send` continues an upload.",
            )
        declaration = UploadDeclaration(session=session, path=path, revision=revision, size_bytes=size)
        return declaration, Announced(range(size), sent, encoded)

    token_id = request.state.token.id
    whole = WholeFile(receiver.intake.of_token(token_id), token_id)
    receipt, made = await whole.take(announced, body_of(request))
    headers = {"Location": committed_url(receipt)}
    return Response(receipt.model_dump_json(), 201 if made else 200, headers, "application/json")


def _size_bytes(request: Request, max_bytes: int, *, is_encoded: bool) -> int:
    """Return the size of the file: the size of the body, or Upload-Length if the body is compressed."""
    length, announced = (request.headers.get(name) for name in ("Content-Length", protocol.H_UPLOAD_LENGTH))
    if length is None:
        raise BadRequest(
            "the request has no Content-Length, so the receiver cannot reserve space; nothing was stored",
            hint="Send a file, not a pipe.",
        )
    body_bytes = whole_number(length, "Content-Length", 0, MAX_LENGTH_BYTES)
    if announced is not None:
        announced_bytes = whole_number(announced, protocol.H_UPLOAD_LENGTH, 0, MAX_LENGTH_BYTES)
    elif is_encoded:
        raise BadRequest(
            "the body is compressed and the request does not give the size of the file; nothing was stored",
            hint=f"Give the size as {protocol.H_UPLOAD_LENGTH}.",
        )
    size_bytes = announced_bytes if is_encoded else body_bytes
    if size_bytes > max_bytes:
        raise TooLarge(f"the file has {size_bytes} bytes; the receiver accepts at most {max_bytes}")
    return size_bytes


@router.get(
    protocol.SESSION_FILES,
    dependencies=[permits(Permission.READ)],
    responses=problems(ScopeRejected, NotFound, BadName),
)
def list_files(
    session: SessionName,
    request: Request,
    after: Annotated[str, Query(description="`next` of the previous page")] = "",
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> FileList:
    """List the newest revision of every committed file, by path."""
    if after:
        check_committed_path(after)
    receiver = receiver_of(request)
    with receiver.database.read() as connection:
        session_id = session_id_of(connection, session)
        newer = files.alias("newer")
        has_newer = exists().where(
            newer.c.session_id == files.c.session_id,
            newer.c.path == files.c.path,
            newer.c.revision > files.c.revision,
        )
        rows = connection.execute(
            select(*FILE_COLUMNS)
            .join_from(files, sessions)
            .where(files.c.session_id == session_id, files.c.path > after, ~has_newer)
            .order_by(files.c.path)
            .limit(limit + 1)
        ).all()
        folder_id = connection.scalar(select(data_folder.c.folder_id))
    with receiver.storage.statuses() as statuses:
        page = tuple(_listed(statuses, file_row(row), folder_id) for row in rows[:limit])
    return FileList(files=page, next=page[-1].path if len(rows) > limit else None)


def _listed(statuses: StatusReader, file: FileRow, folder_id: UUID | None) -> ListedFile:
    """Return a file for a list, with how it is on the disk by a look. A file that is not read counts as changed."""
    seen = look(statuses, file)
    receipt = receipt_of(file, folder_id, is_new=False)
    on_disk = FileCheck.CHANGED if must_be_read(file, seen) else seen.check
    return ListedFile(**dict(receipt), on_disk=on_disk, identity=seen.identity)


_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_READ: dict[str, Any] = {
    "dependencies": [permits(Permission.READ)],
    "response_class": Response,
    "responses": {
        200: {"description": "The bytes of the file. Its root digest is the ETag.", "content": _BYTES},
        206: {"description": "The range of the file that was asked for.", "content": _BYTES},
        **problems(ScopeRejected, NotFound, BadName, BadRange, FileCorrupt),
    },
}


@router.get(protocol.FILE, **_READ)
@router.head(protocol.FILE, **_READ)
def get_file(
    session: SessionName,
    path: str,
    request: Request,
    revision: Annotated[int | None, Query(ge=1, le=MAX_REVISION, description="Default: the newest.")] = None,
    wanted_range: Annotated[str, Header(alias=protocol.H_RANGE, description="`bytes=FIRST-LAST`, one range")] = "",
    if_range: Annotated[
        str | None,
        Header(description="An ETag. If the file has another one, the answer is the whole file instead of the range."),
    ] = None,
) -> Response:
    """Read a committed file, or a range of it."""
    check_committed_path(path)
    receiver = receiver_of(request)
    with receiver.database.read() as connection:
        wanted = (
            select(*FILE_COLUMNS)
            .join_from(files, sessions)
            .where(files.c.session_id == session_id_of(connection, session), files.c.path == path)
            .order_by(files.c.revision.desc())
        )
        if revision is not None:
            wanted = wanted.where(files.c.revision == revision)
        row = connection.execute(wanted.limit(1)).one_or_none()
    if row is None:
        raise NotFound(
            f"there is no committed file {path!r} in session {session!r}",
            hint="Check the path and the revision; `cryoferry fetch SESSION --dry-run` lists the files.",
        )
    file = file_row(row)
    _require_on_disk(receiver.storage, file)
    etag = format_etag(file.digest)
    span = None
    if if_range in (None, etag):
        try:
            span = parse_range(wanted_range, file.size_bytes)
        except BadRange as error:
            return answer_of(error, headers={protocol.H_CONTENT_RANGE: f"bytes */{file.size_bytes}"})
    return CommittedFile(receiver.storage, file.location, file.size_bytes, etag, span, sha256=file.sha256)


def _require_on_disk(storage: Storage, file: FileRow) -> None:
    """Refuse to send a file that the disk has lost. Reading changes nothing: the file is not taken back here."""
    seen = look(storage, file)
    if seen.check is FileCheck.MISSING:
        raise NotFound(
            f"{file.name} was committed, but the receiver's disk has lost it: {seen.detail}", hint=_SEND_AGAIN
        )
    if seen.check is FileCheck.CHANGED:
        raise FileCorrupt(f"{file.name} changed on the receiver's disk: {seen.detail}", hint=_SEND_AGAIN)
