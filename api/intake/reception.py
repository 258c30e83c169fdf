"""The place of one body in a part file: its bytes locked, then compared or written, and only then noted as present."""

from __future__ import annotations

import os
from contextlib import ExitStack

from api.intake.chunk_sink import ChunkSink
from api.intake.contract import Announced, BodySink, IntakeResources
from api.intake.decoding_sink import DecodingSink
from api.store.on_disk import FileRow
from api.store.upload import StoredChunk, Upload, chunk_numbers, require_generation
from transfer.disk.locks import try_lock_span
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.digest import digest_by_chunks, root_digest
from transfer.wire.errors import BadRange, NameTaken, ReceiverBusy


def require_whole_chunks(span: range, size_bytes: int) -> None:
    """Refuse a range of bytes that is not made of whole chunks.

    Raises
    ------
    BadRange
    """
    if span.stop > size_bytes or span.start % CHUNK_BYTES or (span.stop % CHUNK_BYTES and span.stop != size_bytes):
        raise BadRange(f"bytes {span.start} to {span.stop - 1} of {size_bytes} are not whole chunks of {CHUNK_BYTES}")


class Reception:
    """One body's place in the part file of an upload.

    The object locks the bytes, gives out the sink that takes them, and notes them in the database. A body for a
    committed upload is compared with the committed file; it changes nothing.

    Parameters
    ----------
    resources
        The receiver's part.
    upload
        The upload to which the body belongs.
    announced
        What the request says of the body.
    is_new
        Whether this request made the upload and brings all of it.

    Attributes
    ----------
    fd
        The part file; None for a committed upload, which has none.
    is_locked
        Whether this object holds the lock of the bytes. If not, the caller waits for the lock, then calls `prepare`.
    is_alone
        Whether no other request can have written in the part file since it was made.
    digests
        The BLAKE3 digests of the body's chunks, once it has come.
    """

    def __init__(
        self, resources: IntakeResources, upload: Upload, announced: Announced, *, is_new: bool = False
    ) -> None:
        self.upload, self.announced = upload, announced
        self._uploads, self._storage = resources.uploads, resources.storage
        self.span, self.sent = announced.span, announced.sent
        self.numbers = chunk_numbers(self.span)
        self.digests: list[bytes] = []
        self._present: dict[int, StoredChunk] = {}
        made = self._made_part() if is_new else None
        self.fd = self._open_part() if made is None else made
        with ExitStack() as on_error:
            on_error.callback(self.close)
            self.is_locked = self.fd is None or try_lock_span(self.fd, self.span)
            self.is_alone = made is not None and self.is_locked
            if self.is_locked and not self.is_alone:
                self.prepare()
            on_error.pop_all()

    def _made_part(self) -> int | None:
        """Make the part file and return its descriptor; None if another request has made it already."""
        try:
            return self._storage.make_part(self.upload.id, self.upload.generation)
        except FileExistsError:
            return None

    def _open_part(self) -> int | None:
        """Return the part file's descriptor; None for a committed upload."""
        upload, book, storage = self.upload, self._uploads, self._storage
        if upload.committed:
            return None
        try:
            return storage.open_part(upload.id, upload.generation, create=False)
        except FileNotFoundError:
            if not book.chunks(upload.id):
                return storage.open_part(upload.id, upload.generation, create=True)
            upload = book.require(upload.id)
            if upload.committed:
                return None
            book.restart(upload)
            raise ReceiverBusy("the upload's part file was lost; send all chunks again") from None

    def prepare(self) -> None:
        """Read, with the lock held, which chunks are present; those that will be overwritten no longer are."""
        book, opened = self._uploads, self.upload
        self.upload, self._present = book.with_chunks(opened.id, self.numbers)
        if self.upload.committed:
            return
        require_generation(self.upload, opened)
        if not self._present:
            self._storage.require_space(len(self.span))
        elif not self._is_replay():
            book.unmark(self.upload, list(self._present))
            self._present = {}

    def _is_replay(self) -> bool:
        """Whether the body repeats what is present: then it is only compared, and the chunks stay present."""
        if self.sent is None or self.announced.is_encoded or len(self._present) < len(self.numbers):
            return False  # the digest of an encoded body is another
        there = [self._present[number].digest for number in self.numbers]
        return digest_by_chunks(self.sent.algorithm, there) == self.sent.digest

    @property
    def _is_there(self) -> bool:
        """Whether every chunk of the body is present: then the body is compared, not written."""
        if self.upload.committed:
            return True
        return len(self._present) == len(self.numbers) and not self.is_alone

    def sink(self) -> BodySink:
        """Return the sink that takes the body.

        Raises
        ------
        ReceiverBusy
        """
        fd, algorithm = None if self._is_there else self.fd, self.sent.algorithm if self.sent else None
        if self.announced.is_encoded:
            return DecodingSink(ChunkSink(fd, self.span, None), len(self.span), algorithm)
        return ChunkSink(fd, self.span, algorithm)

    def accept(self, sink: BodySink) -> None:
        """Check a body that has come to its end, and keep its digests.

        Raises
        ------
        ChunkCorrupt
            The digest differs from the sender's; none of the chunks is noted as present.
        BadRequest
        """
        sink.finish(self.sent.digest if self.sent else None)
        self.digests = sink.digests

    @property
    def arrived(self) -> dict[int, bytes]:
        """The digests of the chunks that came, by their number."""
        return dict(zip(self.numbers, self.digests, strict=True))

    def note(self) -> None:
        """Note the chunks as present in the database.

        Raises
        ------
        NameTaken
            Another content is committed under this name.
        ReceiverBusy
        """
        if self.upload.file is not None:
            self._require_same(self.upload.file)
        elif not self._is_there:
            self._uploads.mark(self.upload, self.arrived)
        elif [self._present[number].digest for number in self.numbers] != self.digests:
            raise NameTaken(f"{self.upload.name} is committed with another content")

    def _require_same(self, file: FileRow) -> None:
        """Compare a body with the committed file: the whole by its digest, single chunks with those on the disk."""
        if len(self.span) == file.size_bytes:
            is_same = root_digest(self.digests) == file.digest
        else:
            is_same = self._storage.chunk_digests(file.location, self.span) == self.digests
        if not is_same:
            raise NameTaken(f"{self.upload.name} is committed with another content")

    def close(self) -> None:
        """Close the part file, which frees its lock."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
