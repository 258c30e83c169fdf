"""Receives a run of chunks: locked, hashed, written, and only then noted as present.

The database and the disk are asked in worker threads, in one go with the body where that is there already: to hand over
to a thread costs as much as what it does there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from anyio import to_thread

from api.intake.chunk_sink import ChunkSink
from api.intake.contract import BodySink
from api.intake.decoding_sink import DecodingSink
from api.intake.sources import BodySource
from api.receiver import Receiver
from api.store.part_locks import lock_span
from api.store.upload import StoredChunk, Upload, chunk_numbers, require_generation
from transfer.disk import try_lock_span
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.digest import digest_by_chunks
from transfer.wire.errors import BadRange, NameTaken, ReceiverBusy

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ContentDigest:
    """The sender's word on a body: algorithm and digest."""

    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Announced:
    """What a request says of its body.

    Attributes
    ----------
    span
        The bytes of the file that it holds, whole chunks.
    sent
        The sender's word on it as it travels; None: none given.
    is_encoded
        Whether it travels compressed.
    """

    span: range
    sent: ContentDigest | None
    is_encoded: bool = False


def require_whole_chunks(span: range, size_bytes: int) -> None:
    """Refuse a range that does not begin and end with a chunk.

    Raises
    ------
    BadRange
    """
    if span.stop > size_bytes or span.start % CHUNK_BYTES or (span.stop % CHUNK_BYTES and span.stop != size_bytes):
        raise BadRange(f"bytes {span.start} to {span.stop - 1} of {size_bytes} are not whole chunks of {CHUNK_BYTES}")


class Reception:
    """One body's place in an upload's part file, from the lock of its bytes to their note in the database.

    A body for a committed upload is compared with what is committed, and changes nothing.

    Parameters
    ----------
    announced
        What the request says of the body.
    is_new
        Whether this very request made the upload, and brings all of it.

    Attributes
    ----------
    fd
        The part file; None for a committed upload, which has none.
    is_locked
        Whether the bytes are this reception's alone. If not, who asks waits for them, and says `prepare`.
    is_alone
        Whether nobody else can have written in the part file, from its making to its lock.
    digests
        The BLAKE3 digests of the body's chunks, once it has come.
    """

    def __init__(self, receiver: Receiver, upload: Upload, announced: Announced, *, is_new: bool = False) -> None:
        self.receiver, self.upload, self.announced = receiver, upload, announced
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
        """Return the descriptor of a part file made now; None where another request was quicker."""
        try:
            return self.receiver.storage.make_part(self.upload.id, self.upload.generation)
        except FileExistsError:
            return None

    def _open_part(self) -> int | None:
        """Return the part file's descriptor; None for a committed upload."""
        upload, book, storage = self.upload, self.receiver.uploads, self.receiver.storage
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
            raise ReceiverBusy("the upload's part file was lost; what was sent is asked for again") from None

    def prepare(self) -> None:
        """Find out what is there, with the lock held: chunks that will be overwritten are no longer present."""
        book, opened = self.receiver.uploads, self.upload
        self.upload, self._present = book.with_chunks(opened.id, self.numbers)
        if self.upload.committed:
            return
        require_generation(self.upload, opened)
        if not self._present:
            self.receiver.storage.require_space(len(self.span))
        elif not self._is_replay():
            book.unmark(self.upload, list(self._present))
            self._present = {}

    def _is_replay(self) -> bool:
        """Whether all comes again as it is: then it is only compared, and stays present whatever arrives."""
        if self.sent is None or self.announced.is_encoded or len(self._present) < len(self.numbers):
            return False  # the digest of an encoded body is another
        there = [self._present[number].digest for number in self.numbers]
        return digest_by_chunks(self.sent.algorithm, there) == self.sent.digest

    @property
    def _is_there(self) -> bool:
        """Whether every chunk of the body is there already: it is compared, not written."""
        return len(self._present) == len(self.numbers) and not self.is_alone

    def sink(self) -> BodySink:
        """Return what takes the body.

        Raises
        ------
        ReceiverBusy
        """
        fd, algorithm = None if self._is_there else self.fd, self.sent.algorithm if self.sent else None
        if self.announced.is_encoded:
            return DecodingSink(ChunkSink(fd, self.span, None), len(self.span), algorithm)
        return ChunkSink(fd, self.span, algorithm)

    def take(self, sink: BodySink) -> None:
        """Accept a body that has come to its end.

        Raises
        ------
        ChunkCorrupt
            It is not what was sent; none of its chunks counts as present.
        BadRequest
        """
        sink.finish(self.sent.digest if self.sent else None)
        self.digests = sink.digests

    @property
    def arrived(self) -> dict[int, bytes]:
        """The digests of the chunks that came, by their number."""
        return dict(zip(self.numbers, self.digests, strict=True))

    def note(self) -> None:
        """Note the chunks as present.

        Raises
        ------
        NameTaken
            Another content is committed under this name.
        ReceiverBusy
        """
        if not self._is_there:
            self.receiver.uploads.mark(self.upload, self.arrived)
        elif [self._present[number].digest for number in self.numbers] != self.digests:
            raise NameTaken(f"{self.upload.name} is committed with another content")

    def close(self) -> None:
        """Let go of the part file and its lock."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


class Taker(Generic[Result]):
    """A body's way through a `Reception`, see `BodyTaker`.

    A request can be cancelled while a thread still works for it. Its steps and its end exclude each other, so that no
    thread writes by the number of a descriptor that is closed, and perhaps another file's by then.
    """

    reception: Reception
    result: Result

    def __init__(self, begin: Callable[[], Reception], end: Callable[[Reception], Result]) -> None:
        self._begin, self._end = begin, end
        self._held = ExitStack()
        self._step = threading.Lock()
        self._is_closed = False

    @contextmanager
    def _one_step(self) -> Iterator[None]:
        with self._step:
            if self._is_closed:
                raise ReceiverBusy("the request was given up")
            yield

    def begin(self) -> bool:
        """Open the place; False: others are writing there."""
        with self._one_step():
            self.reception = self._begin()
            self._held.callback(self.reception.close)
            if self.reception.is_locked:
                self._open_sink()
            return self.reception.is_locked

    async def ready(self) -> None:
        """Wait until the others have written."""
        assert self.reception.fd is not None
        await lock_span(self.reception.fd, self.reception.span)
        await to_thread.run_sync(self._prepare)

    def _prepare(self) -> None:
        with self._one_step():
            self.reception.prepare()
            self._open_sink()

    def _open_sink(self) -> None:
        self._sink = self.reception.sink()
        self._held.callback(self._sink.close)

    def add(self, blocks: Sequence[bytes | memoryview]) -> None:
        """Take the next bytes."""
        with self._one_step():
            self._sink.add(blocks)

    def end(self) -> None:
        """Accept the body, and do what is to be done while its place is still held."""
        with self._one_step():
            self.reception.take(self._sink)
            self.result = self._end(self.reception)

    def close(self) -> None:
        """Let go of the place, when no step is under way; none follows."""
        with self._step:
            self._is_closed = True
            self._held.close()


async def receive(
    receiver: Receiver, begin: Callable[[], Reception], body: BodySource, end: Callable[[Reception], Result]
) -> tuple[Reception, Result]:
    """Take a body into its place; return that, closed, and what `end` returned.

    Parameters
    ----------
    begin, end
        Called in a thread: opens the place; does what is to be done while it is still held.

    Raises
    ------
    ChunkCorrupt, NameTaken, ReceiverBusy, ReceiverFull, ClientStalled, BadRequest, UploadGone
    """
    taker = Taker(begin, end)
    try:
        await body.pour(taker, receiver.settings.body_timeout_s, receiver.body_threads)
        return taker.reception, taker.result
    finally:
        taker.close()
