"""What client and receiver agree on: routes, header names, and the bodies of requests and answers.

HTTP/1.1, several requests in parallel. The client chooses a UUID and declares an upload under it
(`PUT /v1/uploads/{id}`), fills it with any number of `PUT …/content` (with `Content-Range` and `Content-Digest`), and
commits it with `POST …/commit` and the file's root digest. The same request again gets the same answer. Every answer
that is not 2xx is problem JSON, see `transfer.wire.problems`.

| request | answer |
| --- | --- |
| `PUT /v1/uploads/{id}`, an `UploadDeclaration` | 201 `UploadStatus`; the same again 200 |
| … another upload of that size has reserved (session, path, revision) | 409 upload-conflict, with its `upload_id` |
| … another upload of another size has reserved it | 409 name-taken, with its `upload_id` and `state` |
| … a file of that size is committed there | 200, `state` committed, the `upload_id` to commit; nothing to send |
| … a file of another size is committed there | 409 name-taken |
| … such a file is missing on the receiver's disk, or changed | 201: its name is free, as if it had never been sent |
| `PUT …/content`, one or more whole chunks | 204; again 204; before the commit, other bytes replace the earlier ones |
| … the bytes do not match Content-Digest | 400 chunk-corrupt; the chunk does not count as received |
| `GET …/ranges` | 200 `MissingRanges` (empty once committed) |
| `POST …/commit`, a `CommitRequest` | 201 `Receipt`; the same again 200 |
| … chunks are missing | 409 upload-incomplete |
| … the received bytes have another digest | 422 file-corrupt; the upload stays open, chunks may be sent again |
| … it is committed with another digest | 409 name-taken |
| any for a committed upload whose file is missing on the receiver's disk, or changed | 410 upload-gone |
| any, and its file has another time stamp and is being read again | 503 receiver-busy |
| `DELETE /v1/uploads/{id}` | 204, the name is free again; any later request for this upload 410 upload-gone |
| … with `?quiet_s=N`, and bytes arrived within the last N seconds | 409 upload-conflict, `state` receiving |
| … it is committed | 409 upload-conflict |
| `PUT /v1/files/{session}/{path}?revision=N` with Content-Digest | 201 `Receipt`; the same content again 200 |
| … another content has that (session, path, revision) | 409 name-taken |
| `GET /v1/files/{session}/{path}?revision=N` | 200, its digest as `ETag`; with one `Range` 206 or 416; `HEAD` |
| `PUT …/exposures/{exposure_id}`, an `ExposureRecord` | 201 `Exposure`; the same record again 200 |
| … it names files that are not committed | 409 files-missing, with these `files` |
| … another record, and not the next revision | 409 exposure-conflict |
| … a record of more than 256,000 bytes | 413 too-large |
| `GET …/thresholds` | 200 `SessionThresholds` |
| `PUT …/thresholds/{figure}/{side}`, a `ThresholdValue` | 200 `SessionThresholds`, with exposures judged anew |
| … no figure of that name is known | 422 unknown-figure, with the `nearest` name |
| `DELETE …/thresholds/{figure}/{side}` | 200 `SessionThresholds`; without effect if there is none |
| `PUT …/exposures/{exposure_id}/verdict`, a `PersonVerdict` | 200 `Verdict` |
| `DELETE …/exposures/{exposure_id}/verdict` | 200 `Verdict`: the thresholds decide again |
| `POST …/verdicts`, a `VerdictBatch` | 200 `VerdictAnswers`, in the order of the batch |
| … it names exposures that are not there | 404 not-found, with these as `missing`; nothing is changed |
| `PUT …/metadata`, a `SessionMetadata` | 200 `SessionMetadata`, kept in place of what was given before |
| … a field is not known, or a value is wrong | 422 bad-metadata, which names each |
| `POST …/exports` | 200 `SessionExports`, made anew; while another session is exported 503 receiver-busy |
| `POST …/exposures/claim`, a `ClaimBatch` | 200 `ClaimAnswers`; the same again by the same agent the same |
| `POST …/verifications`, a `VerificationRequest` | 202 `Verification`; `GET` it until its state is `done` |
| … this token has one already, or two run | 409 limit-reached |
| any that sends or claims what was deleted on purpose | 410 deleted |
| `PUT …/agents/{agent}`, an `AgentStatus` | 200 `AgentRequests`; only the last report is kept |
| … it has more than 16 kB | 413 too-large |
| `POST …/agents/{agent}/requests`, a `NewRequest` | 201 `RequestStatus`; the same while it is open 200 |
| … too many agents in this session, or open requests to this agent | 409 limit-reached |
| any, with a `Cryoferry-Protocol` that the receiver does not speak | 400 version-mismatch |
| a list | `?after=` the `next` of the page before (events: or the last number), `?limit=`; a page may be shorter |
| any, temporarily: no space 507 · disk error 500 · same bytes being received 503 · client silent 408 | `Retry-After` |
"""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import quote
from uuid import UUID

from pydantic import AwareDatetime, Field

from transfer.wire.accounting import SessionAccount
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.exposure_record import ExposureRecord
from transfer.wire.fail_fast import Listed, Named
from transfer.wire.receipt import MAX_REVISION, Receipt, Record
from transfer.wire.verdict import Verdict
from transfer.wire.verification import FileCheck
from transfer.wire.versions import SpokenVersions

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
VERDICT = "/v1/sessions/{session}/exposures/{exposure_id}/verdict"
VERDICTS = "/v1/sessions/{session}/verdicts"
THRESHOLDS = "/v1/sessions/{session}/thresholds"
THRESHOLD = "/v1/sessions/{session}/thresholds/{figure}/{side}"
CLAIMS = "/v1/sessions/{session}/exposures/claim"
EXPORTS = "/v1/sessions/{session}/exports"
METADATA = "/v1/sessions/{session}/metadata"
VERIFICATIONS = "/v1/sessions/{session}/verifications"
VERIFICATION = "/v1/sessions/{session}/verifications/{verification_id}"
AGENTS = "/v1/sessions/{session}/agents"
AGENT = "/v1/sessions/{session}/agents/{agent}"
AGENT_REQUESTS = "/v1/sessions/{session}/agents/{agent}/requests"
SERVICE = "/v1/service"
DESCRIPTION = "/v1/openapi.json"
HEALTH = "/healthz"
READY = "/readyz"

H_CONTENT_DIGEST = "Content-Digest"
H_REPR_DIGEST = "Repr-Digest"  # RFC 9530: of the whole file, also in the answer to a request for a range
H_CONTENT_ENCODING = "Content-Encoding"
H_CONTENT_RANGE = "Content-Range"
H_RANGE = "Range"
H_UPLOAD_OFFSET = "Upload-Offset"
H_UPLOAD_COMPLETE = "Upload-Complete"
H_UPLOAD_LENGTH = "Upload-Length"  # the length of the file; the body is shorter if it is compressed
H_UPLOAD_LIMIT = "Upload-Limit"
H_RETRY_AFTER = "Retry-After"
H_PROTOCOL = "Cryoferry-Protocol"
"""The version that client and receiver agreed on; a request without it is judged by its content."""

ZSTD = "zstd"
"""The one Content-Encoding that bodies with chunks or files may have."""


class UploadDeclaration(Record):
    """What a client wants to send."""

    session: str
    path: str = Field(description="relative to the session's files, / between folders")
    revision: int = Field(default=1, ge=1, le=MAX_REVISION, description="1, or one more than the newest")
    size_bytes: int = Field(ge=0)
    chunk_bytes: int = Field(default=CHUNK_BYTES, description="fixed by the protocol: the unit of the root digest")


class UploadState(StrEnum):
    """Whether an upload is complete and durable."""

    RECEIVING = "receiving"
    COMMITTED = "committed"


class UploadStatus(UploadDeclaration):
    """An upload, and how much of it the receiver has."""

    upload_id: UUID
    state: UploadState
    received_bytes: int = Field(ge=0)


class ByteRange(Record):
    """Bytes `first` to `last`, both included."""

    first: int = Field(ge=0)
    last: int = Field(ge=0)


class MissingRanges(Record):
    """The ranges of an upload that the receiver does not have yet."""

    missing: Listed[ByteRange]


class CommitRequest(Record):
    """The digest that the whole file must have."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="root digest, see Receipt")


class ListedFile(Receipt):
    """A committed file, and how it is on the receiver's disk by existence, size and time stamp; it is not read."""

    on_disk: FileCheck | None = Field(default=None, description="null from an older receiver")
    identity: str | None = Field(
        default=None, description="of the file on the receiver's disk: its inode, and its time stamp in whole seconds"
    )

    @property
    def is_there(self) -> bool:
        """Whether the file is on the receiver's disk, as far as the receiver says; an older one is believed."""
        return self.on_disk in (None, FileCheck.SAME)

    @property
    def receipt(self) -> Receipt:
        """Return the receipt of the file, which was there before."""
        return Receipt(**{**self.model_dump(exclude={"on_disk", "identity"}), "is_new": False})


class FileList(Record):
    """The newest revision of every committed file of a session, by path; `next` continues after the last."""

    files: Listed[ListedFile]
    next: str | None = None


class SessionState(StrEnum):
    """Whether a session expects more exposures."""

    OPEN = "open"
    ENDED = "ended"


class RegistrarTrouble(Record):
    """A registrar that cannot work at present, at all or for a session; what it has to register waits."""

    registrar: str
    reason: str
    since: AwareDatetime
    session: str | None = Field(default=None, description="what waits; null: all sessions, or the receiver is older")


class Session(Record):
    """A session at the microscope. Each registrar keeps one project for it."""

    name: str
    uuid: UUID | None = Field(default=None, description="another one under the same name is another session")
    state: SessionState
    closed: bool = Field(description="ended, and every registrar has registered everything and closed its sets")
    created_at: AwareDatetime
    exposure_count: int
    rejected_count: int | None = Field(
        default=None, description="exposures that are not accepted; null from an older receiver"
    )
    registrars: Listed[str]
    registered_count: Named[int] = Field(description="exposures that each registrar shows")
    failed_count: Named[int] | None = Field(
        default=None, description="exposures that each registrar could not register; null from an older receiver"
    )
    projects: Named[str] = Field(description="the folder of each registrar's project on the receiver")
    account: SessionAccount | None = Field(
        default=None, description="where every exposure is; null from an older receiver"
    )
    waiting: tuple[RegistrarTrouble, ...] | None = Field(
        default=None, description="registrars that cannot register its exposures now; null from an older receiver"
    )


class SessionList(Record):
    """Sessions that the token may see, oldest first; `next` continues after the last."""

    sessions: Listed[Session]
    next: str | None = Field(default=None, description="null: there are no more, or the receiver is older")


class RegistrationState(StrEnum):
    """How far one registrar is with an exposure."""

    PENDING = "pending"
    REGISTERED = "registered"
    FAILED = "failed"


class Registration(Record):
    """How far one registrar is with one exposure."""

    registrar: str
    state: RegistrationState
    detail: str = ""


class Exposure(Record):
    """A published exposure, and how far each registrar is with it."""

    record: ExposureRecord
    micrograph_name: str = Field(description="unique in the session; what registrars call it")
    registrations: Listed[Registration]
    verdict: Verdict | None = Field(default=None, description="null from an older receiver")


class ExposureList(Record):
    """Published exposures in the order of their publication; `next` continues after the last."""

    exposures: Listed[Exposure]
    next: str | None = None


class Event(Record):
    """One event in a session."""

    number: int
    at: AwareDatetime
    kind: str
    subject: str
    detail: str = ""


class EventList(Record):
    """Events with a number above the one asked for, oldest first; `next` continues after the last."""

    events: Listed[Event]
    next: int | None = Field(default=None, description="null: there are no more at present, or the receiver is older")


class Service(Record):
    """What this receiver is and allows. Every version of the protocol has its first four members."""

    name: str = "cryoferry"
    version: str = Field(description="of the receiver's software")
    protocol: int = Field(default=1, description="the newest version of the protocol that the receiver speaks")
    oldest_protocol: int | None = Field(default=None, description="the oldest one; null: the same as `protocol`")
    chunk_bytes: int = CHUNK_BYTES
    max_file_bytes: int
    free_bytes: int
    registrars: Listed[str]

    @property
    def spoken(self) -> SpokenVersions:
        """Return which versions of the protocol the receiver speaks."""
        oldest = self.protocol if self.oldest_protocol is None else self.oldest_protocol
        return SpokenVersions(self.version, oldest, self.protocol)


class Health(Record):
    """Whether the receiver can do its work, by part."""

    ok: bool
    checks: Named[str]


class InUse(Record):
    """How much of something limited is in use."""

    count: int
    limit: int


class LimitsInUse(Record):
    """How near the receiver is to its limits.

    Connections, files and refusals are those of the worker process that answers.
    """

    connections: InUse
    connections_without_token: InUse
    open_files: InUse
    open_uploads: int = Field(description="to which bytes came within two minutes")
    promised_bytes: int = Field(description="what these uploads have yet to receive")
    free_bytes: int = Field(description="on the disk, without what stays free")
    refused_in_last_minute: Named[int]


class ReceiverReadiness(Health):
    """Whether the receiver can do its work; more for tokens that are for all sessions."""

    limits: LimitsInUse | None = None
    registrars_in_trouble: tuple[RegistrarTrouble, ...] | None = None
    exposures_in_doubt: Named[tuple[str, ...]] | None = Field(
        default=None, description="what does not add up, by session; as this process last saw it"
    )


def route(template: str, **values: str) -> str:
    """Return a route of this module with its values filled in and quoted for a URL."""
    quoted = {key: quote(value, safe="/" if key == "path" else "") for key, value in values.items()}
    return template.replace("{path:path}", "{path}").format(**quoted)


def committed_url(receipt: Receipt) -> str:
    """Return the path and query under which a committed file can be read."""
    return f"{route(FILE, session=receipt.session, path=receipt.path)}?revision={receipt.revision}"
