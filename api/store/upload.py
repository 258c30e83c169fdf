"""One upload as a value, and the conditions that it must meet before it is changed.

`upload_book.py` reads and changes uploads in the database; `reservations.py` decides who gets a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from api.store.storage import location_of
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.errors import ReceiverBusy
from transfer.wire.protocol import UploadState
from transfer.wire.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Upload:
    """One row of `uploads`, with its session's name."""

    id: UUID
    session_id: int
    session: str
    path: str
    revision: int
    size_bytes: int
    state: UploadState
    generation: int
    one_request: bool
    touched_at: datetime

    @property
    def committed(self) -> bool:
        """Whether the file is durable under its name and recorded in the database."""
        return self.state == UploadState.COMMITTED

    @property
    def location(self) -> str:
        """The path of the committed file, relative to the data folder."""
        return location_of(self.session, self.path, self.revision)

    @property
    def name(self) -> str:
        """The file's name in messages."""
        return f"{self.session}/{self.path}" + (f" revision {self.revision}" if self.revision > 1 else "")


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """One chunk that arrived: its BLAKE3 digest and the receiver's run that wrote it."""

    digest: bytes
    run_id: str


def chunk_numbers(span: range) -> range:
    """Return the numbers of the chunks that a range of bytes consists of."""
    return range(span.start // CHUNK_BYTES, -(-span.stop // CHUNK_BYTES))


def require_generation(upload: Upload, opened: Upload) -> None:
    """Refuse to go on with a part file that was replaced after it was opened.

    Raises
    ------
    ReceiverBusy
    """
    if upload.generation != opened.generation:
        raise ReceiverBusy("the upload was restarted meanwhile; send this again")


def require_quiet(upload: Upload, quiet_since: datetime | None) -> None:
    """Refuse to withdraw an upload to which something was added since then.

    Raises
    ------
    ReceiverBusy
    """
    if quiet_since is not None and upload.touched_at > quiet_since:
        raise ReceiverBusy(f"{upload.name} is still being received")


def receipt_of(upload: Upload, digest: str) -> Receipt:
    """Return the receipt for an upload's file."""
    return Receipt(
        session=upload.session,
        path=upload.path,
        revision=upload.revision,
        size_bytes=upload.size_bytes,
        digest=digest,
    )
