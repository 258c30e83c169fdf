"""Uploads in chunks: declare, send chunks in parallel, ask which are missing, commit or withdraw."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api.access.guard import Bearer, GuardedRoute, permits
from api.access.permissions import Permission, require_session, sees
from api.access.tokens import Token
from api.database.tables import now
from api.http.bulk_requests import CONTENT_ENCODING, required_header, uuid_in_path
from api.http.connections import Place
from api.http.openapi import of_body, parameter, problems
from api.intake.contract import Announced, ContentDigest
from api.intake.decoding_sink import is_encoded
from api.intake.receiving import receive
from api.intake.reception import Reception, require_whole_chunks
from api.intake.sources import body_of
from api.receiver import Receiver, receiver_of
from api.store.commit import commit
from api.store.part_locks import LOCK_WAIT_S
from api.store.upload import Upload
from api.store.upload_book import no_upload
from api.store.withdraw import withdraw
from transfer.wire import protocol
from transfer.wire.chunks import CHUNK_BYTES
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
    ReceiverBusy,
    ReceiverFull,
    ScopeRejected,
    TooLarge,
    UnsupportedCoding,
    UploadConflict,
    UploadGone,
    UploadIncomplete,
)
from transfer.wire.header_fields import parse_content_range
from transfer.wire.names import check_committed_path, check_session_name
from transfer.wire.protocol import (
    ByteRange,
    CommitRequest,
    MissingRanges,
    UploadDeclaration,
    UploadState,
    UploadStatus,
    committed_url,
)
from transfer.wire.receipt import Receipt

router = APIRouter(tags=["uploads"], route_class=GuardedRoute)

MAX_QUIET_S = 1e6
MAX_RANGES = 10_000
"""How many ranges one answer names. The last of them then reaches to the end of what is missing."""


def _upload(receiver: Receiver, token: Token, upload_id: UUID) -> Upload:
    """Return an upload.

    Raises
    ------
    NotFound
        There is none that the token may see. An upload of another session is answered as one that never was.
    UploadGone
        It was withdrawn, or it is committed and the disk has lost its file.
    """
    upload = receiver.uploads.find_there(upload_id)
    session = upload.session if upload else receiver.uploads.withdrawn_session(upload_id)
    if not sees(token, session):
        raise no_upload(upload_id)
    if upload is None:
        raise UploadGone
    return upload


def _connection_of(request: Request) -> Place | None:
    place: Place | None = getattr(request.state, "place", None)  # None: not accepted by api.http
    return place


def check_declaration(receiver: Receiver, declaration: UploadDeclaration) -> None:
    """Refuse a file that the receiver can never accept."""
    check_session_name(declaration.session)
    check_committed_path(declaration.path)
    if declaration.chunk_bytes != CHUNK_BYTES:
        raise BadRequest(f"{declaration.path}: chunk_bytes must be {CHUNK_BYTES}, not {declaration.chunk_bytes}")
    if declaration.size_bytes > receiver.settings.max_file_bytes:
        raise TooLarge(
            f"{declaration.path} has {declaration.size_bytes} bytes; the receiver accepts at most "
            f"{receiver.settings.max_file_bytes}"
        )


@router.put(
    protocol.UPLOAD,
    dependencies=[permits(Permission.WRITE)],
    status_code=201,
    response_model=UploadStatus,
    responses={
        200: {"model": UploadStatus, "description": "It was declared before, or the file is committed with that size."},
        **problems(
            *(
                ScopeRejected,
                NotFound,
                UploadConflict,
                NameTaken,
                NameDiffersInCase,
                UploadGone,
                Deleted,
                TooLarge,
                BadName,
            ),
            *(ReceiverFull, LimitReached),
        ),
    },
)
def declare_upload(
    upload_id: UUID, declaration: UploadDeclaration, request: Request, response: Response, token: Bearer
) -> UploadStatus:
    """Reserve a name for a file that will be sent."""
    receiver = receiver_of(request)
    require_session(token, declaration.session)
    check_declaration(receiver, declaration)
    upload, is_new = receiver.uploads.declare(
        upload_id, declaration, require_space=receiver.storage.require_space, token_id=token.id
    )
    if not upload.committed:
        receiver.upload_connections.note(upload_id, _connection_of(request))
    response.status_code = 201 if is_new else 200
    response.headers[protocol.H_UPLOAD_LIMIT] = f"max-size={receiver.settings.max_file_bytes}"
    return receiver.uploads.status(upload)


@router.put(
    protocol.UPLOAD_CONTENT,
    dependencies=[permits(Permission.WRITE, is_bulk=True)],
    status_code=204,
    response_class=Response,
    responses=problems(
        ScopeRejected,
        NotFound,
        NameTaken,
        UploadGone,
        BadRange,
        BadRequest,
        ChunkCorrupt,
        ClientStalled,
        UnsupportedCoding,
    ),
    openapi_extra=of_body(
        parameter("upload_id", "path", "", {"type": "string", "format": "uuid"}),
        parameter(protocol.H_CONTENT_RANGE, "header", "`bytes FIRST-LAST/TOTAL`, whole chunks", required=True),
        parameter(
            protocol.H_CONTENT_DIGEST,
            "header",
            "RFC 9530: `blake3=:BASE64:`, `sha-256=…`, or `blake3-chunks=…`",
            required=True,
        ),
        CONTENT_ENCODING,
    ),
)
async def put_content(request: Request) -> Response:
    """Send one or more whole chunks. 204 means: received and checked, not yet durable."""
    token, receiver = request.state.token, receiver_of(request)
    connections, connection = receiver.upload_connections, _connection_of(request)
    upload_id = uuid_in_path(request, "upload_id")
    content_range = required_header(request, protocol.H_CONTENT_RANGE)
    content_digest = required_header(request, protocol.H_CONTENT_DIGEST)

    def begin() -> Reception:
        upload = _upload(receiver, token, upload_id)
        connections.note(upload_id, connection)
        span, total = parse_content_range(content_range)
        encoded = is_encoded(request.headers.get(protocol.H_CONTENT_ENCODING))
        sent = ContentDigest(*parse_content_digest(content_digest, is_encoded=encoded))
        if total != upload.size_bytes:
            raise BadRange(
                f"{upload.name} was declared with {upload.size_bytes} bytes, not {total}; the chunk was not stored"
            )
        require_whole_chunks(span, total)
        announced = Announced(span, sent, encoded)
        length = request.headers.get("content-length")
        if not announced.is_encoded and length is not None and length != str(len(span)):
            raise BadRequest(
                f"Content-Length is {length}, but the range has {len(span)} bytes; the chunk was not stored"
            )
        return Reception(receiver.intake, upload, announced)

    def end(reception: Reception) -> None:
        reception.note()
        connections.note(upload_id, connection)  # again: it may have closed before the bytes were noted

    await receive(receiver.intake.of_token(token.id), begin, body_of(request), end)
    return Response(status_code=204)


@router.head(
    protocol.UPLOAD,
    dependencies=[permits(Permission.READ)],
    response_class=Response,
    responses={
        200: {
            "description": "How many bytes arrived.",
            "headers": {
                protocol.H_UPLOAD_OFFSET: {
                    "description": "Bytes without a gap from the beginning.",
                    "schema": {"type": "integer"},
                },
                protocol.H_UPLOAD_COMPLETE: {
                    "description": "`?1` once the file is committed.",
                    "schema": {"type": "string"},
                },
            },
        },
        **problems(ScopeRejected, NotFound, UploadGone),
    },
)
def head_upload(upload_id: UUID, request: Request, token: Bearer) -> Response:
    """Show how many bytes of an upload arrived."""
    receiver = receiver_of(request)
    upload = _upload(receiver, token, upload_id)
    missing = [] if upload.committed else receiver.uploads.missing(upload)
    headers = {
        protocol.H_UPLOAD_OFFSET: str(missing[0].start if missing else upload.size_bytes),
        protocol.H_UPLOAD_COMPLETE: "?1" if upload.committed else "?0",
    }
    return Response(headers=headers)


@router.get(
    protocol.UPLOAD, dependencies=[permits(Permission.READ)], responses=problems(ScopeRejected, NotFound, UploadGone)
)
def get_upload(upload_id: UUID, request: Request, token: Bearer) -> UploadStatus:
    """Show an upload."""
    receiver = receiver_of(request)
    return receiver.uploads.status(_upload(receiver, token, upload_id))


@router.get(
    protocol.UPLOAD_RANGES,
    dependencies=[permits(Permission.READ)],
    responses=problems(ScopeRejected, NotFound, UploadGone),
)
def get_missing_ranges(upload_id: UUID, request: Request, token: Bearer) -> MissingRanges:
    """List the ranges of bytes that did not arrive. A committed upload has none."""
    receiver = receiver_of(request)
    upload = _upload(receiver, token, upload_id)
    missing = [] if upload.committed else receiver.uploads.missing(upload)
    if len(missing) > MAX_RANGES:  # a client may send chunks again that are there, but none may be left out
        missing = [*missing[: MAX_RANGES - 1], range(missing[MAX_RANGES - 1].start, missing[-1].stop)]
    return MissingRanges(missing=tuple(ByteRange(first=span.start, last=span.stop - 1) for span in missing))


@router.post(
    protocol.UPLOAD_COMMIT,
    dependencies=[permits(Permission.WRITE)],
    status_code=201,
    response_model=Receipt,
    responses={
        200: {"model": Receipt, "description": "It was committed before."},
        **problems(ScopeRejected, NotFound, UploadIncomplete, NameTaken, UploadGone, FileCorrupt),
    },
)
def commit_upload(
    upload_id: UUID, wanted: CommitRequest, request: Request, response: Response, token: Bearer
) -> Receipt:
    """Commit an upload: make the file durable and visible, then answer with the receipt."""
    receiver = receiver_of(request)
    upload = _upload(receiver, token, upload_id)
    receipt, made = commit(receiver.uploads, receiver.storage, upload, wanted.digest)
    response.status_code = 201 if made else 200
    response.headers["Location"] = committed_url(receipt)
    return receipt


@router.delete(
    protocol.UPLOAD,
    dependencies=[permits(Permission.WRITE)],
    status_code=204,
    response_class=Response,
    responses=problems(ScopeRejected, NotFound, UploadConflict),
)
def withdraw_upload(
    upload_id: UUID,
    request: Request,
    token: Bearer,
    quiet_s: Annotated[
        float | None,
        Query(ge=0, le=MAX_QUIET_S, description="Withdraw it only if it got no bytes for this time, in s."),
    ] = None,
) -> Response:
    """Withdraw an upload. Its name is free again."""
    receiver = receiver_of(request)
    try:
        upload = _upload(receiver, token, upload_id)
    except UploadGone:
        return Response(status_code=204)
    if quiet_s is None:
        withdraw(receiver.uploads, receiver.storage, upload, wait_s=LOCK_WAIT_S)
    else:
        _withdraw_quiet(receiver, upload, quiet_s)
    left = receiver.uploads.find(upload_id)
    if left is not None:
        raise UploadConflict(
            f"{left.name} is committed; it cannot be withdrawn",
            hint="Nothing to do: committed files are kept.",
            state=left.state.value,
        )
    return Response(status_code=204)


def _withdraw_quiet(receiver: Receiver, upload: Upload, quiet_s: float) -> None:
    quiet_since = now() - timedelta(seconds=quiet_s)
    try:
        withdraw(receiver.uploads, receiver.storage, upload, wait_s=0, quiet_since=quiet_since)
    except ReceiverBusy as busy:
        raise UploadConflict(
            f"{upload.name} is still being received; it was not withdrawn",
            hint="Wait until the other client has sent it, or has stopped.",
            state=UploadState.RECEIVING.value,
        ) from busy
