"""Everything that can go wrong between two machines, as one tree of errors.

* TransferError
  + TemporaryError            a later attempt can succeed; nothing is lost
    - ReceiverBusy            503
    - RateLimited             429
    - ReceiverFull            507
    - StorageFailed           500
    - ClientStalled           408
    - LinkLost
    - ForeignAnswer
    - TokenReplaced
  + PermanentError            the same request would fail again
    - AuthRejected            401
    - ScopeRejected           403
    - BadRequest              400
    - BadName                 422
    - BadValue                422
    - BadMetadata             422
    - UnknownFigure           422
    - NotFound                404
    - UploadGone              410
    - Deleted                 410
    - NameTaken               409
    - NameDiffersInCase       409
    - UploadIncomplete        409
    - UploadConflict          409
    - ExposureConflict        409
    - FilesMissing            409
    - LimitReached            409
    - TooLarge                413
    - UnsupportedCoding       415
    - BadRange                416
    - VersionMismatch         400
    - SourceChanged
    - SourceUnreadable
    - ProtocolMismatch
    - BadUrl
    - BadProxy
    - CertificateRejected
    - TokenMissing
    - TokenUnusable
    - BadTimetable
    - TargetUnwritable
  + TransferStopped           the caller asked for it
  + IntegrityError            bytes arrived that are not the bytes that were sent
    - ChunkCorrupt            400
    - FileCorrupt             422
    - NotDeleted

The docstring of a class is the sentence that the user reads. `slug` is the last part of the `type` in problem JSON,
`status` the HTTP status (None: the receiver never sends it), `exit_code` the exit code of the command, and `hint` says
what to do.
"""

from __future__ import annotations

from typing import ClassVar


class TransferError(Exception):
    """The transfer failed."""

    slug: ClassVar[str] = "transfer-error"
    status: ClassVar[int | None] = 500
    exit_code: ClassVar[int] = 1
    hint: str = "Read the receiver's log, then try again."

    def __init__(self, detail: str = "", *, hint: str | None = None, **extra: object) -> None:
        """Keep what happened (`detail`), what to do (`hint`), and further members of the problem JSON (`extra`)."""
        super().__init__(detail or self.title())
        self.detail = detail or self.title()
        self.extra = extra
        if hint is not None:
            self.hint = hint

    @classmethod
    def title(cls) -> str:
        """Return the sentence of the class."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0]


class TemporaryError(TransferError):
    """The receiver cannot take this now; a later attempt can succeed."""

    slug = "temporary"
    status: ClassVar[int | None] = 503
    exit_code = 5
    hint = "Try again later. The receiver keeps what it has received."
    retry_after_s: float | None = None


class ReceiverBusy(TemporaryError):
    """The receiver is busy or shutting down."""

    slug = "receiver-busy"


class RateLimited(TemporaryError):
    """The receiver asks this client to send fewer requests."""

    slug = "rate-limited"
    status: ClassVar[int | None] = 429


class ReceiverFull(TemporaryError):
    """The receiver's disk has no space left; it accepts no new data."""

    slug = "receiver-full"
    status: ClassVar[int | None] = 507
    hint = "Free space on the receiver's disk. The transfer then continues by itself."


class StorageFailed(TemporaryError):
    """The receiver's disk reported an error; nothing was published."""

    slug = "storage-failed"
    status: ClassVar[int | None] = 500
    hint = "Check the receiver's disk and its log. The transfer continues when the disk works again."


class ClientStalled(TemporaryError):
    """The receiver waited too long for the next bytes, and ended the request."""

    slug = "client-stalled"
    status: ClassVar[int | None] = 408
    hint = "Check the network. The transfer continues where it stopped."


class LinkLost(TemporaryError):
    """The connection to the receiver was lost, or could not be made."""

    slug = "link-lost"
    status: ClassVar[int | None] = None
    hint = (
        "Check the URL, the network, and that `cryoferry serve` runs, then run the same command again."
        " A transfer continues where it stopped."
    )


class ForeignAnswer(TemporaryError):
    """The answer did not come from a cryoferry receiver; something between here and there sent it."""

    slug = "foreign-answer"
    status: ClassVar[int | None] = None
    hint = (
        "Check the URL, and what stands between this machine and the receiver: a proxy, a firewall, a login page."
        " Nothing is lost; the transfer continues when the receiver answers again."
    )


class TokenReplaced(TemporaryError):
    """The token file holds another token now; the request is repeated with it."""

    slug = "token-replaced"
    status: ClassVar[int | None] = None


class PermanentError(TransferError):
    """The receiver refuses this request, and would refuse it again."""

    slug = "permanent"
    status: ClassVar[int | None] = 400


class AuthRejected(PermanentError):
    """The receiver does not accept this token."""

    slug = "auth-rejected"
    status: ClassVar[int | None] = 401
    exit_code = 7
    hint = "Create a token on the receiver with `cryoferry token create`, and give it with --token-file."


class ScopeRejected(PermanentError):
    """This token does not permit this request."""

    slug = "scope-rejected"
    status: ClassVar[int | None] = 403
    exit_code = 7
    hint = "Use a token that was created for this session and purpose: `cryoferry token create --scope … --session …`."


class BadRequest(PermanentError):
    """The receiver does not understand this request."""

    slug = "bad-request"
    hint = "Check that both machines run the same version of cryoferry."


class BadName(PermanentError):
    """This name is not allowed for a file or a session."""

    slug = "bad-name"
    status: ClassVar[int | None] = 422
    exit_code = 2
    hint = "Use letters, digits, space and . _ - + = @ # ( ) , and / between folders; no - or . first, not CON or NUL."


class BadValue(PermanentError):
    """The request has a number or a text that the receiver cannot keep."""

    slug = "bad-value"
    status: ClassVar[int | None] = 422
    hint = "Send finite numbers, integers of at most 64 bits, and text without NUL and without half surrogate pairs."


class BadMetadata(PermanentError):
    """What is given of a session has a field that is not known, or a wrong value."""

    slug = "bad-metadata"
    status: ClassVar[int | None] = 422
    exit_code = 2
    hint = "Correct the file; docs/exports.md lists the fields. Nothing of it was kept."


class UnknownFigure(PermanentError):
    """No figure of exposures has this name."""

    slug = "unknown-figure"
    status: ClassVar[int | None] = 422
    exit_code = 2
    hint = "Use a name of the table of figures in docs/protocol.md."


class NotFound(PermanentError):
    """The receiver has nothing of this name."""

    slug = "not-found"
    status: ClassVar[int | None] = 404
    hint = "Check the spelling, and that the session was started (`cryoferry session start`)."


class UploadGone(PermanentError):
    """This upload has expired or was withdrawn."""

    slug = "upload-gone"
    status: ClassVar[int | None] = 410
    hint = "Send the file again. Nothing of it is visible on the receiver."


class Deleted(PermanentError):
    """This was deleted on the receiver on purpose; it is not accepted again."""

    slug = "deleted"
    status: ClassVar[int | None] = 410
    hint = "Nothing needs to be done. To send it all the same, send it under another name or into another session."


class NameTaken(PermanentError):
    """Another file already has this name in this session."""

    slug = "name-taken"
    status: ClassVar[int | None] = 409
    hint = "Both files are safe. Send the new one under another name, or as the next revision."


class NameDiffersInCase(PermanentError):
    """This name differs only in upper and lower case from one that is there."""

    slug = "name-differs-in-case"
    status: ClassVar[int | None] = 409
    hint = "Write the name as it is there, or send it under another name."


class UploadConflict(PermanentError):
    """This request does not agree with what the receiver knows about the upload."""

    slug = "upload-conflict"
    status: ClassVar[int | None] = 409
    hint = "Start a new upload."


class UploadIncomplete(PermanentError):
    """The receiver does not have all chunks of this upload."""

    slug = "upload-incomplete"
    status: ClassVar[int | None] = 409
    hint = "Send the missing ranges, then commit again."


class ExposureConflict(PermanentError):
    """This exposure was published before, with a different record."""

    slug = "exposure-conflict"
    status: ClassVar[int | None] = 409
    hint = "Publish a reprocessed exposure as its next revision."


class FilesMissing(PermanentError):
    """The record of this exposure names files that are not committed."""

    slug = "files-missing"
    status: ClassVar[int | None] = 409
    hint = "Send the files first. Publish the exposure when each of them has a receipt."


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
    """This byte range does not begin and end with a chunk."""

    slug = "bad-range"
    status: ClassVar[int | None] = 416
    hint = "Begin the range at the first byte of a chunk, and end it at the last byte of a chunk."


class VersionMismatch(PermanentError):
    """Client and receiver have no version of the protocol in common."""

    slug = "version-mismatch"
    exit_code = 7
    hint = "Upgrade cryoferry on the machine that has the older version."


class SourceChanged(PermanentError):
    """The file changed while it was being read or sent."""

    slug = "source-changed"
    status: ClassVar[int | None] = None
    hint = "Run the command again when no program writes to the file any more."


class SourceUnreadable(PermanentError):
    """The file cannot be read."""

    slug = "source-unreadable"
    status: ClassVar[int | None] = None
    exit_code = 4
    hint = "Check the path, and that you may read the file."


class ProtocolMismatch(PermanentError):
    """The receiver's answer is not one of this version of cryoferry."""

    slug = "protocol-mismatch"
    status: ClassVar[int | None] = None
    hint = "Both machines need the same major version of cryoferry. Upgrade the older one."


class BadUrl(PermanentError):
    """This URL cannot be used for a receiver."""

    slug = "bad-url"
    status: ClassVar[int | None] = None
    exit_code = 2
    hint = "Write it as https://HOST[:PORT]. http:// is accepted for this machine only (127.0.0.1, ::1, localhost)."


class BadProxy(PermanentError):
    """This proxy cannot be used to reach the receiver."""

    slug = "bad-proxy"
    status: ClassVar[int | None] = None
    exit_code = 2
    hint = "Write it as http://HOST:PORT, or name the receiver's host in NO_PROXY if it is reached without a proxy."


class CertificateRejected(PermanentError):
    """The receiver's certificate cannot be verified; the token was not sent."""

    slug = "certificate-rejected"
    status: ClassVar[int | None] = None
    exit_code = 7
    hint = "Give the certificate that you expect, or that of its authority, with --ca FILE."


class TokenMissing(PermanentError):
    """No token was given for the receiver."""

    slug = "token-missing"
    status: ClassVar[int | None] = None
    exit_code = 2
    hint = "Give --token-file FILE, or set CRYOFERRY_TOKEN. `cryoferry token create` on the receiver creates a token."


class TokenUnusable(PermanentError):
    """The token file, or the variable CRYOFERRY_TOKEN, holds something else than one token."""

    slug = "token-unusable"
    status: ClassVar[int | None] = None
    exit_code = 2
    hint = "Save the token alone, as plain text in one line. It begins with `cf_`."


class BadTimetable(PermanentError):
    """This is not a bandwidth limit."""

    slug = "bad-timetable"
    status: ClassVar[int | None] = None
    exit_code = 2
    hint = "Write it as `08:00-18:00 40MB/s`."


class TargetUnwritable(PermanentError):
    """The file cannot be written here."""

    slug = "target-unwritable"
    status: ClassVar[int | None] = None
    hint = "Check the folder, its permissions and its free space. The same command continues with what was fetched."


class TransferStopped(TransferError):
    """The transfer was stopped; the receiver keeps what it has received."""

    slug = "transfer-stopped"
    status: ClassVar[int | None] = None
    exit_code = 130
    hint = "Send it again. It continues where it stopped."


class IntegrityError(TransferError):
    """The bytes that arrived are not the bytes that were sent."""

    slug = "integrity"
    status: ClassVar[int | None] = 422
    exit_code = 6
    hint = "Send it again. If it happens often, check the network hardware and the memory of both machines."


class ChunkCorrupt(IntegrityError):
    """A chunk that arrived does not match its digest; the receiver discarded it."""

    slug = "chunk-corrupt"
    status: ClassVar[int | None] = 400


class FileCorrupt(IntegrityError):
    """The whole file does not match its digest; it was not published."""

    slug = "file-corrupt"


class NotDeleted(IntegrityError):
    """The file is not deleted here: the receiver has not read the same content from its disk."""

    slug = "not-deleted"
    status: ClassVar[int | None] = None
    hint = "Send the file again, then compare it with `cryoferry verify --deep`."


def _tree(root: type[TransferError]) -> list[type[TransferError]]:
    return [root] + [leaf for child in root.__subclasses__() for leaf in _tree(child)]


BY_SLUG: dict[str, type[TransferError]] = {cls.slug: cls for cls in _tree(TransferError)}
