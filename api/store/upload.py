"""One upload as a value, and the conditions that it must meet before it is changed.

`upload_book.py` reads and changes uploads in the database; `reservations.py` decides who gets a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from api.store.on_disk import FileRow
from api.store.storage import location_of
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.errors import ReceiverBusy
from transfer.wire.protocol import UploadState
from transfer.wire.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Upload:
    """One row of `uploads`, or of `committed_uploads`, with its session's name.

    Attributes
    ----------
    generation, one_request, touched_at
        See the table `uploads`; of a committed upload they mean nothing.
    file
        The file, if the upload is committed: durable under its name and recorded in the database.
    """

    id: UUID
    session_id: int
    session: str
    path: str
    revision: int
    size_bytes: int
    generation: int
    one_request: bool
    touched_at: datetime
    file: FileRow | None = None

    @property
    def committed(self) -> bool:
        """Whether the file is durable under its name and recorded in the database."""
        return self.file is not None

    @property
    def state(self) -> UploadState:
        """The state that clients are shown."""
        return UploadState.RECEIVING if self.file is None else UploadState.COMMITTED

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


def receipt_of(file: FileRow, folder_id: UUID | None, *, is_new: bool) -> Receipt:
    """Return the receipt for a committed file.

    Parameters
    ----------
    folder_id
        Of the data folder.
    is_new
        Whether the receipt answers the request that committed the file.
    """
    return Receipt(
        session=file.session,
        path=file.path,
        revision=file.revision,
        size_bytes=file.size_bytes,
        digest=file.digest,
        folder_id=folder_id,
        sequence=file.sequence,
        sha256=file.sha256,
        is_new=is_new,
    )
