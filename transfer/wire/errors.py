"""Everything that can go wrong between two hosts, as one tree.

* TransferError
  + TemporaryError            try again later; nothing is lost
    - ReceiverBusy            503
    - RateLimited             429
    - ReceiverFull            507
    - StorageFailed           500
    - ClientStalled           408
    - LinkLost
  + PermanentError            trying again changes nothing
    - AuthRejected            401
    - ScopeRejected           403
    - BadRequest              400
    - BadName                 422
    - NotFound                404
    - UploadGone              410
    - NameTaken               409
    - UploadIncomplete        409
    - UploadConflict          409
    - ExposureConflict        409
    - FilesMissing            409
    - LimitReached            409
    - TooLarge                413
    - UnsupportedCoding       415
    - BadRange                416
    - SourceChanged
    - SourceUnreadable
    - ProtocolMismatch
    - BadUrl
    - CertificateRejected
    - TokenMissing
    - BadTimetable
    - TargetUnwritable
  + TransferStopped           the caller asked for it
  + IntegrityError            bytes arrived that are not the bytes that were sent
    - ChunkCorrupt            400
    - FileCorrupt             422

A class's docstring is the sentence that the user reads. `slug` is the last part of the problem's `type` on the
wire, `status` its HTTP status (None: never sent over the wire), `exit_code` the command's exit code, `hint` what to do.
"""

from __future__ import annotations

from typing import ClassVar


class TransferError(Exception):
    """The transfer failed."""

    slug: ClassVar[str] = "transfer-error"
    status: ClassVar[int | None] = 500
    exit_code: ClassVar[int] = 1
    hint: str = "Look at the receiver's log, then try again."

    def __init__(self, detail: str = "", *, hint: str | None = None, **extra: object) -> None:
        """Say what happened (`detail`), what to do (`hint`), and any further members of the problem (`extra`)."""
        super().__init__(detail or self.title())
        self.detail = detail or self.title()
        self.extra = extra
        if hint is not None:
            self.hint = hint

    @classmethod
    def title(cls) -> str:
        """Return the class's own sentence."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0]


class TemporaryError(TransferError):
    """The receiver cannot take this now; trying again later will work."""

    slug = "temporary"
    status: ClassVar[int | None] = 503
    exit_code = 5
    hint = "Try again later; what was received is kept."
    retry_after_s: float | None = None


class ReceiverBusy(TemporaryError):
    """The receiver is busy or shutting down."""

    slug = "receiver-busy"


class RateLimited(TemporaryError):
    """The receiver asks this client to slow down."""

    slug = "rate-limited"
    status: ClassVar[int | None] = 429


class ReceiverFull(TemporaryError):
    """The receiver has no space left."""

    slug = "receiver-full"
    status: ClassVar[int | None] = 507
    hint = "Free space on the receiver; the transfer continues by itself."


class StorageFailed(TemporaryError):
    """The receiver's disk reported an error; nothing was published."""

    slug = "storage-failed"
    status: ClassVar[int | None] = 500
    hint = "Check the receiver's disk and its log; the transfer continues once it works again."


class ClientStalled(TemporaryError):
    """The receiver waited too long for the next bytes."""

    slug = "client-stalled"
    status: ClassVar[int | None] = 408
    hint = "Check the network; the transfer continues where it stopped."


class LinkLost(TemporaryError):
    """The connection to the receiver was lost or could not be made."""

    slug = "link-lost"
    status: ClassVar[int | None] = None
    hint = "Check the URL, the network and that `cryoferry serve` runs; the transfer continues where it stopped."


class PermanentError(TransferError):
    """The receiver refuses this request; repeating it changes nothing."""

    slug = "permanent"
    status: ClassVar[int | None] = 400


class AuthRejected(PermanentError):
    """The receiver does not accept this token."""

    slug = "auth-rejected"
    status: ClassVar[int | None] = 401
    exit_code = 7
    hint = "Make a token on the receiver with `cryoferry token create` and give it with --token-file."


class ScopeRejected(PermanentError):
    """This token does not permit that."""

    slug = "scope-rejected"
    status: ClassVar[int | None] = 403
    exit_code = 7
    hint = "Use a token made for this session and this purpose: `cryoferry token create --scope … --session …`."


class BadRequest(PermanentError):
    """The receiver does not understand this request."""

    slug = "bad-request"
    hint = "Do agent and receiver run the same version of cryoferry?"


class BadName(PermanentError):
    """This name cannot be used for a file or a session."""

    slug = "bad-name"
    status: ClassVar[int | None] = 422
    exit_code = 2
    hint = "Use letters, digits, space and . _ - + = @ # ( ) , with / between folders; no .. and no device names."


class NotFound(PermanentError):
    """The receiver knows nothing of that name."""

    slug = "not-found"
    status: ClassVar[int | None] = 404
    hint = "Check the spelling, and that the session was started (`cryoferry session start`)."


class UploadGone(PermanentError):
    """This upload has expired or was withdrawn."""

    slug = "upload-gone"
    status: ClassVar[int | None] = 410
    hint = "Send the file again; nothing of it is visible on the receiver."


class NameTaken(PermanentError):
    """Another file already has this name in this session."""

    slug = "name-taken"
    status: ClassVar[int | None] = 409
    hint = "Both files are safe. Send the new one under another name, or as the next revision."


class UploadConflict(PermanentError):
    """This upload was declared differently before."""

    slug = "upload-conflict"
    status: ClassVar[int | None] = 409
    hint = "Begin a new upload."


class UploadIncomplete(PermanentError):
    """Parts of this upload have not arrived."""

    slug = "upload-incomplete"
    status: ClassVar[int | None] = 409
    hint = "Send the missing ranges, then commit again."


class ExposureConflict(PermanentError):
    """This exposure was published differently before."""

    slug = "exposure-conflict"
    status: ClassVar[int | None] = 409
    hint = "A reprocessed exposure is published as the next revision."


class FilesMissing(PermanentError):
    """Files that this exposure names are not committed."""

    slug = "files-missing"
    status: ClassVar[int | None] = 409
    hint = "Send the files first; publish the exposure when there is a receipt for each."


class LimitReached(PermanentError):
    """The receiver keeps no more of these."""

    slug = "limit-reached"
    status: ClassVar[int | None] = 409
    hint = "Wait until some of them are done, then try again."


class TooLarge(PermanentError):
    """This file or request is larger than the receiver accepts."""

    slug = "too-large"
    status: ClassVar[int | None] = 413
    hint = "Raise the receiver's limit (`cryoferry serve --max-file-bytes`)."


class UnsupportedCoding(PermanentError):
    """The receiver does not decode bodies of this Content-Encoding."""

    slug = "unsupported-coding"
    status = 415
    hint = "Send the bytes as they are, or as zstd with a window of at most 2 MiB (`zstd` does up to level 3)."


class BadRange(PermanentError):
    """This byte range does not lie on the upload's chunks."""

    slug = "bad-range"
    status: ClassVar[int | None] = 416
    hint = "A range begins on a chunk's first byte and ends on a chunk's last byte."


class SourceChanged(PermanentError):
    """The file changed while it was being sent."""

    slug = "source-changed"
    status: ClassVar[int | None] = None
    hint = "Send it again once nothing writes to it."


class SourceUnreadable(PermanentError):
    """The file cannot be read."""

    slug = "source-unreadable"
    status: ClassVar[int | None] = None
    exit_code = 4
    hint = "Check the path and its permissions."


class ProtocolMismatch(PermanentError):
    """The answer does not come from a cryoferry receiver of this version."""

    slug = "protocol-mismatch"
    status: ClassVar[int | None] = None
    hint = "Check the URL; agent and receiver need the same major version."


class BadUrl(PermanentError):
    """This URL cannot be used for a receiver."""

    slug = "bad-url"
    status: ClassVar[int | None] = None
    exit_code = 2
    hint = "Give it as https://HOST[:PORT]; http:// is for this machine alone (127.0.0.1, ::1, localhost)."


class CertificateRejected(PermanentError):
    """The receiver's certificate cannot be verified."""

    slug = "certificate-rejected"
    status: ClassVar[int | None] = None
    exit_code = 7
    hint = "Give the certificate (or its authority's) that you expect with --ca FILE."


class TokenMissing(PermanentError):
    """There is no token to show to the receiver."""

    slug = "token-missing"
    status: ClassVar[int | None] = None
    exit_code = 2
    hint = "Give --token-file FILE, or set CRYOFERRY_TOKEN; `cryoferry token create` on the receiver makes one."


class BadTimetable(PermanentError):
    """This is no bandwidth limit."""

    slug = "bad-timetable"
    status: ClassVar[int | None] = None
    exit_code = 2
    hint = "Write it as `08:00-18:00 40MB/s`."


class TargetUnwritable(PermanentError):
    """The file cannot be written here."""

    slug = "target-unwritable"
    status: ClassVar[int | None] = None
    hint = "Check the folder, its permissions and its space; what was fetched is kept, the same command continues."


class TransferStopped(TransferError):
    """The transfer was stopped; what was received is kept."""

    slug = "transfer-stopped"
    status: ClassVar[int | None] = None
    exit_code = 130
    hint = "Send it again; it continues where it stopped."


class IntegrityError(TransferError):
    """Bytes were changed on their way."""

    slug = "integrity"
    status: ClassVar[int | None] = 422
    exit_code = 6
    hint = "Send it again. If it happens often, check the network hardware and the memory of both hosts."


class ChunkCorrupt(IntegrityError):
    """A chunk arrived that does not match its digest; it was thrown away."""

    slug = "chunk-corrupt"
    status: ClassVar[int | None] = 400


class FileCorrupt(IntegrityError):
    """The whole file does not match its digest; it was not published."""

    slug = "file-corrupt"


def _tree(root: type[TransferError]) -> list[type[TransferError]]:
    return [root] + [leaf for child in root.__subclasses__() for leaf in _tree(child)]


BY_SLUG: dict[str, type[TransferError]] = {cls.slug: cls for cls in _tree(TransferError)}
