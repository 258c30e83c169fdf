"""The wire contract that both sides import: routes, headers, bodies, and the table of errors.

HTTP/1.1, parts in parallel. An upload is declared (`PUT /v1/uploads/{id}`, the client makes the UUID), filled by any
number of `PUT …/content` with `Content-Range` and `Content-Digest`, and committed by `POST …/commit` with the file's
root digest. Whatever is repeated gives the same answer. Every answer that is not 2xx is RFC 9457 problem JSON, whose
`type` is `PROBLEM_TYPE + slug` of one class of `transfer.wire.errors`.

| request | answer |
| --- | --- |
| `PUT /v1/uploads/{id}`, an `UploadDeclaration` | 201 `UploadStatus`; the same again 200 |
| … (session, path, revision) reserved by another upload of that size | 409 upload-conflict, its `upload_id` a member |
| … reserved by another upload, of another size | 409 name-taken, its `upload_id` and `state` members |
| … committed already, with that size | 200, `state` committed and the `upload_id` to commit; nothing need be sent |
| … committed already, with another size | 409 name-taken |
| `PUT …/content`, one or more whole chunks | 204; a replay 204; other bytes replace the earlier ones until commit |
| … bytes that do not match Content-Digest | 400 chunk-corrupt; the chunk is not marked present |
| `GET …/ranges` | 200 `MissingRanges` (none missing once committed) |
| `POST …/commit`, a `CommitRequest` | 201 `Receipt`; the same again 200 |
| … chunks missing | 409 upload-incomplete |
| … not the digest of what arrived | 422 file-corrupt; the upload stays open, chunks may be sent again |
| … committed already with another digest | 409 name-taken |
| `DELETE /v1/uploads/{id}` | 204, the reservation is free again; whatever comes later for it 410 upload-gone |
| … with `?quiet_s=N`, and something was added to it within N seconds | 409 upload-conflict, `state` receiving |
| `PUT /v1/files/{session}/{path}?revision=N` with Content-Digest | 201 `Receipt`; the same content again 200 |
| … another content has that (session, path, revision) | 409 name-taken |
| `DELETE /v1/uploads/{id}` of a committed one | 409 upload-conflict |
| `GET /v1/files/{session}/{path}?revision=N` | 200, its digest as `ETag`; with one `Range` 206 or 416; `HEAD` |
| `PUT …/exposures/{exposure_id}`, an `ExposureRecord` | 201 `Exposure`; the same record again 200 |
| … it names files that are not committed so | 409 files-missing, those `files` a member |
| … a different record, and not the next revision | 409 exposure-conflict |
| `PUT …/agents/{agent}`, an `AgentStatus` | 200 `AgentRequests`; only the last report is kept |
| … it has more than 16 kB | 413 too-large |
| `POST …/agents/{agent}/requests`, a `NewRequest` | 201 `RequestStatus`; the same while it is open 200 |
| … too many agents in this session, or open requests to this agent | 409 limit-reached |
| lists | `?after=` what `next` said (events: the last known number) and `?limit=` |
| any, for now: no space 507 · disk 500 · the same bytes under way 503 · client silent 408 | `Retry-After` |
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from urllib.parse import quote
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.errors import BY_SLUG, BadRange, BadRequest, ProtocolMismatch, TemporaryError, TransferError
from transfer.wire.exposure_record import ExposureRecord
from transfer.wire.receipt import MAX_REVISION, Receipt, Record

UPLOAD = "/v1/uploads/{upload_id}"
UPLOAD_CONTENT = "/v1/uploads/{upload_id}/content"
UPLOAD_RANGES = "/v1/uploads/{upload_id}/ranges"
UPLOAD_COMMIT = "/v1/uploads/{upload_id}/commit"
FILE = "/v1/files/{session}/{path:path}"
SESSIONS = "/v1/sessions"
SESSION = "/v1/sessions/{session}"
SESSION_END = "/v1/sessions/{session}/end"
SESSION_REOPEN = "/v1/sessions/{session}/reopen"
SESSION_FILES = "/v1/sessions/{session}/files"
SESSION_EVENTS = "/v1/sessions/{session}/events"
EXPOSURES = "/v1/sessions/{session}/exposures"
EXPOSURE = "/v1/sessions/{session}/exposures/{exposure_id}"
AGENTS = "/v1/sessions/{session}/agents"
AGENT = "/v1/sessions/{session}/agents/{agent}"
AGENT_REQUESTS = "/v1/sessions/{session}/agents/{agent}/requests"
SERVICE = "/v1/service"
HEALTH = "/healthz"
READY = "/readyz"

H_CONTENT_DIGEST = "Content-Digest"
H_CONTENT_ENCODING = "Content-Encoding"
H_CONTENT_RANGE = "Content-Range"
H_RANGE = "Range"
H_IF_RANGE = "If-Range"
H_UPLOAD_OFFSET = "Upload-Offset"
H_UPLOAD_COMPLETE = "Upload-Complete"
H_UPLOAD_LENGTH = "Upload-Length"  # of the file, where that is not the body's
H_UPLOAD_LIMIT = "Upload-Limit"
H_RETRY_AFTER = "Retry-After"

PROBLEM_JSON = "application/problem+json"
PROBLEM_TYPE = "https://cryoferry.invalid/problems/"

SMALL_FILE_BYTES = CHUNK_BYTES

ZSTD = "zstd"  # the Content-Encoding that bodies of files may have
"""A file up to this size goes in one request (`PUT /v1/files/{session}/{path}`)."""


class UploadDeclaration(Record):
    """What a client wants to send."""

    session: str
    path: str = Field(description="relative to the session's files, / between folders")
    revision: int = Field(default=1, ge=1, le=MAX_REVISION, description="1, or one more than the newest")
    size_bytes: int = Field(ge=0)
    chunk_bytes: int = Field(default=CHUNK_BYTES, description="fixed by the protocol: the unit of the root digest")


class UploadState(StrEnum):
    """Where an upload stands."""

    RECEIVING = "receiving"
    COMMITTED = "committed"


class UploadStatus(UploadDeclaration):
    """What the receiver has of an upload."""

    upload_id: UUID
    state: UploadState
    received_bytes: int = Field(ge=0)


class ByteRange(Record):
    """Bytes `first` to `last`, both included."""

    first: int = Field(ge=0)
    last: int = Field(ge=0)


class MissingRanges(Record):
    """What has not arrived."""

    missing: tuple[ByteRange, ...]


class CommitRequest(Record):
    """The client's word on what the file is."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="root digest, see Receipt")


class FileList(Record):
    """The newest revision of every committed file of a session, by path; `next` continues after the last."""

    files: tuple[Receipt, ...]
    next: str | None = None


class SessionState(StrEnum):
    """Whether a session expects more exposures."""

    OPEN = "open"
    ENDED = "ended"


class Session(Record):
    """One sitting at the microscope; one project for each registrar."""

    name: str
    state: SessionState
    closed: bool = Field(description="ended, and every registrar has registered everything and closed its sets")
    created_at: AwareDatetime
    exposure_count: int
    registrars: tuple[str, ...]
    registered_count: dict[str, int] = Field(description="exposures that each registrar shows")
    projects: dict[str, str] = Field(description="where each registrar's project lies on the receiver")


class SessionList(Record):
    """All sessions that the token may see."""

    sessions: tuple[Session, ...]


class RegistrationState(StrEnum):
    """Where an exposure stands with one registrar."""

    PENDING = "pending"
    REGISTERED = "registered"
    FAILED = "failed"


class Registration(Record):
    """One registrar's word on one exposure."""

    registrar: str
    state: RegistrationState
    detail: str = ""


class Exposure(Record):
    """A published exposure and what became of it."""

    record: ExposureRecord
    micrograph_name: str = Field(description="unique in the session; what registrars call it")
    registrations: tuple[Registration, ...]


class ExposureList(Record):
    """Published exposures in the order of their publication; `next` continues after the last."""

    exposures: tuple[Exposure, ...]
    next: str | None = None


class Event(Record):
    """Something that happened in a session."""

    number: int
    at: AwareDatetime
    kind: str
    subject: str
    detail: str = ""


class EventList(Record):
    """Events with a number above the one asked for, oldest first."""

    events: tuple[Event, ...]


class Service(Record):
    """What this receiver is and allows."""

    name: str = "cryoferry"
    version: str
    protocol: int = 1
    chunk_bytes: int = CHUNK_BYTES
    max_file_bytes: int
    free_bytes: int
    registrars: tuple[str, ...]


class Health(Record):
    """Whether the receiver can do its work, by part."""

    ok: bool
    checks: dict[str, str]


class Problem(BaseModel):
    """RFC 9457: every answer that is not 2xx."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str = ""
    hint: str = ""


def problem_of(error: TransferError, status: int | None = None) -> Problem:
    """Return the problem that tells of an error."""
    return Problem(
        type=PROBLEM_TYPE + error.slug,
        title=error.title(),
        status=status or error.status or 500,
        detail=error.detail,
        hint=error.hint,
        **error.extra,  # extension members, RFC 9457 section 3.2
    )


def error_of(status: int, body: bytes, retry_after: str | None = None) -> TransferError:
    """Return the error that an answer tells of; one without a problem of ours is judged by its status alone."""
    try:
        error = _error_of_problem(Problem.model_validate_json(body))
    except ValueError:
        kind = TemporaryError if status in (408, 429) or status >= 500 else ProtocolMismatch
        error = kind(f"HTTP {status}: {body[:200].decode(errors='replace')}")
    if isinstance(error, TemporaryError) and retry_after:
        error.retry_after_s = parse_retry_after(retry_after, datetime.now(UTC))
    return error


def parse_retry_after(value: str, now: datetime) -> float | None:
    """Return for how many s a Retry-After field asks to wait: seconds, or an HTTP date; None where it is neither."""
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:  # "-0000": a date without a zone; HTTP's are all GMT
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())


def _error_of_problem(problem: Problem) -> TransferError:
    cls = BY_SLUG.get(problem.type.removeprefix(PROBLEM_TYPE))
    if cls is None:
        raise ValueError(f"unknown problem type {problem.type}")
    return cls(problem.detail, hint=problem.hint or None, **(problem.model_extra or {}))


def route(template: str, **values: str) -> str:
    """Return a route of this module with its values filled in and quoted for a URL."""
    quoted = {key: quote(value, safe="/" if key == "path" else "") for key, value in values.items()}
    return template.replace("{path:path}", "{path}").format(**quoted)


def committed_url(receipt: Receipt) -> str:
    """Return the path and query under which a committed file can be read."""
    return f"{route(FILE, session=receipt.session, path=receipt.path)}?revision={receipt.revision}"


_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")


def format_content_range(chunk: range, size_bytes: int) -> str:
    """Return a Content-Range field value for a non-empty range."""
    return f"bytes {chunk.start}-{chunk.stop - 1}/{size_bytes}"


def parse_content_range(value: str) -> tuple[range, int]:
    """Return (bytes, total size) of a Content-Range field.

    Raises
    ------
    BadRequest
        Malformed, or its end lies before its beginning or beyond the total.
    """
    match = _CONTENT_RANGE.fullmatch(value.strip())
    if not match:
        raise BadRequest(f"Content-Range {value!r} is not `bytes FIRST-LAST/TOTAL`")
    first, last, total = map(int, match.groups())
    if not first <= last < total:
        raise BadRequest(f"Content-Range {value!r} contradicts itself")
    return range(first, last + 1), total


_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")


def format_range(span: range) -> str:
    """Return a Range field value for a non-empty range of bytes."""
    return f"bytes={span.start}-{span.stop - 1}"


def format_etag(digest: str) -> str:
    """Return the ETag of a file with this root digest."""
    return f'"{digest}"'


def parse_range(value: str, size_bytes: int) -> range | None:
    """Return the bytes that a Range field asks for; None: the whole file, as for anything but one range of bytes.

    Raises
    ------
    BadRange
        The file has none of them.
    """
    match = _RANGE.fullmatch(value.strip())
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        span = range(max(0, size_bytes - int(last)), size_bytes)
    elif last and int(last) < int(first):
        return None
    else:
        span = range(int(first), min(int(last) + 1, size_bytes) if last else size_bytes)
    if not span:
        raise BadRange(f"{value} asks for nothing of {size_bytes} bytes", hint="Ask for bytes that the file has.")
    return span
