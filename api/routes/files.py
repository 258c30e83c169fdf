"""Committed files: send a whole file in one request, list them, read them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from sqlalchemy import func, select

from api.access.guard import GuardedRoute, permits
from api.access.permissions import Permission
from api.database.tables import files
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
from transfer.wire import protocol
from transfer.wire.digest import parse_content_digest
from transfer.wire.errors import (
    BadName,
    BadRange,
    BadRequest,
    ChunkCorrupt,
    ClientStalled,
    NameTaken,
    NotFound,
    ReceiverFull,
    ScopeRejected,
    TooLarge,
    UnsupportedCoding,
    UploadConflict,
)
from transfer.wire.header_fields import format_etag, parse_content_range, parse_range
from transfer.wire.names import check_path, check_session_name
from transfer.wire.protocol import FileList, UploadDeclaration, committed_url
from transfer.wire.receipt import MAX_REVISION, Receipt

router = APIRouter(tags=["files"], route_class=GuardedRoute)

PAGE = 1000
MAX_LENGTH_BYTES = 10**19 - 1  # beyond, it is no length at all; what is accepted is the receiver's to say


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
            UploadConflict,
            TooLarge,
            UnsupportedCoding,
            BadName,
            ChunkCorrupt,
            ClientStalled,
            ReceiverFull,
            UnsupportedCoding,
        ),
    },
    openapi_extra=of_body(
        parameter("session", "path", ""),
        parameter("path", "path", "relative to the session's files"),
        parameter("revision", "query", "", {"type": "integer", "minimum": 1, "maximum": MAX_REVISION, "default": 1}),
        parameter(protocol.H_CONTENT_DIGEST, "header", "RFC 9530, of the body; a body without is taken as it is"),
        parameter(protocol.H_CONTENT_RANGE, "header", "not of a part of the file: send parts as an upload"),
        CONTENT_ENCODING,
        parameter(
            protocol.H_UPLOAD_LENGTH,
            "header",
            "of the file, where the body has a Content-Encoding",
            {"type": "integer", "minimum": 0},
        ),
    ),
)
async def put_file(request: Request) -> Response:
    """Send a whole file in one request (`curl -T` does it). The receipt is given when it is durable and visible."""
    receiver = receiver_of(request)
    session, path = request.path_params["session"], request.path_params["path"]
    revision = whole_number(request.query_params.get("revision", "1"), "revision", 1, MAX_REVISION)
    content_digest = request.headers.get(protocol.H_CONTENT_DIGEST)
    content_range = request.headers.get(protocol.H_CONTENT_RANGE)

    def announced() -> tuple[UploadDeclaration, Announced]:
        check_session_name(session)
        check_path(path)
        encoded = is_encoded(request.headers.get(protocol.H_CONTENT_ENCODING))
        sent = None
        if content_digest is not None:
            sent = ContentDigest(*parse_content_digest(content_digest, is_encoded=encoded))
        size = _size_bytes(request, receiver.settings.max_file_bytes, is_encoded=encoded)
        if content_range is not None and parse_content_range(content_range) != (range(size), size):
            raise BadRequest(  # what came alone would stand there as the whole file, RFC 9110 section 14.5
                f"Content-Range {content_range!r} is not the whole file of {size} bytes",
                hint="Send the file from its first byte, without -C or -r; `cryoferry send` resumes.",
            )
        declaration = UploadDeclaration(session=session, path=path, revision=revision, size_bytes=size)
        return declaration, Announced(range(size), sent, encoded)

    receipt, made = await WholeFile(receiver.intake).take(announced, body_of(request))
    headers = {"Location": committed_url(receipt)}
    return Response(receipt.model_dump_json(), 201 if made else 200, headers, "application/json")


def _size_bytes(request: Request, max_bytes: int, *, is_encoded: bool) -> int:
    """Return the file's size: that of the body, unless that is encoded."""
    length, announced = (request.headers.get(name) for name in ("Content-Length", protocol.H_UPLOAD_LENGTH))
    if length is None:
        raise BadRequest("a file in one request needs its Content-Length", hint="Send a file, not a pipe.")
    body_bytes = whole_number(length, "Content-Length", 0, MAX_LENGTH_BYTES)
    if announced is not None:
        announced_bytes = whole_number(announced, protocol.H_UPLOAD_LENGTH, 0, MAX_LENGTH_BYTES)
    elif is_encoded:
        raise BadRequest("a compressed body needs the file's own length", hint="Say it as Upload-Length.")
    size_bytes = announced_bytes if is_encoded else body_bytes
    if size_bytes > max_bytes:
        raise TooLarge(f"{size_bytes} bytes; at most {max_bytes} are accepted")
    return size_bytes


@router.get(
    protocol.SESSION_FILES,
    dependencies=[permits(Permission.READ)],
    responses=problems(ScopeRejected, NotFound, BadName),
)
def list_files(
    session: SessionName,
    request: Request,
    after: Annotated[str, Query(description="`next` of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> FileList:
    """List the newest revision of every committed file, by path."""
    if after:
        check_path(after)
    with receiver_of(request).database.read() as connection:
        session_id = session_id_of(connection, session)
        newest = (
            select(files.c.path, func.max(files.c.revision).label("revision"))
            .where(files.c.session_id == session_id, files.c.path > after)
            .group_by(files.c.path)
            .order_by(files.c.path)
            .limit(limit + 1)
            .subquery()
        )
        rows = connection.execute(
            select(files.c.path, files.c.revision, files.c.size_bytes, files.c.digest)
            .join(newest, (files.c.path == newest.c.path) & (files.c.revision == newest.c.revision))
            .where(files.c.session_id == session_id)
            .order_by(files.c.path)
        ).all()
    page = tuple(
        Receipt(session=session, path=path, revision=revision, size_bytes=size, digest=digest)
        for path, revision, size, digest in rows[:limit]
    )
    return FileList(files=page, next=page[-1].path if len(rows) > limit else None)


_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_READ: dict[str, Any] = {
    "dependencies": [permits(Permission.READ)],
    "response_class": Response,
    "responses": {
        200: {"description": "The file's bytes; its root digest as ETag.", "content": _BYTES},
        206: {"description": "The range of its bytes.", "content": _BYTES},
        **problems(ScopeRejected, NotFound, BadName, BadRange),
    },
}


@router.get(protocol.FILE, **_READ)
@router.head(protocol.FILE, **_READ)
def get_file(
    session: SessionName,
    path: str,
    request: Request,
    revision: Annotated[int | None, Query(ge=1, le=MAX_REVISION, description="default: the newest")] = None,
    wanted_range: Annotated[str, Header(alias=protocol.H_RANGE, description="`bytes=FIRST-LAST`, one")] = "",
    if_range: Annotated[
        str | None, Header(description="an ETag; of another file, all bytes come instead of the range")
    ] = None,
) -> Response:
    """Read a committed file, or a range of it."""
    check_path(path)
    receiver = receiver_of(request)
    with receiver.database.read() as connection:
        wanted = (
            select(files.c.location, files.c.size_bytes, files.c.digest)
            .where(files.c.session_id == session_id_of(connection, session), files.c.path == path)
            .order_by(files.c.revision.desc())
        )
        if revision is not None:
            wanted = wanted.where(files.c.revision == revision)
        row = connection.execute(wanted.limit(1)).one_or_none()
    if row is None:
        raise NotFound(f"there is no committed file {path!r} in session {session!r}")
    etag = format_etag(row.digest)
    span = None
    if if_range in (None, etag):
        try:
            span = parse_range(wanted_range, row.size_bytes)
        except BadRange as error:
            return answer_of(error, headers={protocol.H_CONTENT_RANGE: f"bytes */{row.size_bytes}"})
    return CommittedFile(receiver.storage, row.location, row.size_bytes, etag, span)
