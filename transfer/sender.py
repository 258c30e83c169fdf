"""The sending engine: chunks in parallel over one pool of connections, verified, resumable.

```
file ──▶ one request                                    (up to SMALL_FILE_BYTES)
     └─▶ declare ─▶ chunks, in parallel ─▶ commit       (resumes what the receiver has already)
```

Each byte is read once, with `pread`, into memory; what is hashed is what is sent. Nothing is published before the
source was found unchanged, and a receipt is believed only if it names the digest that was computed here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from uuid import UUID, uuid4

from transfer.chunks import CHUNK_BYTES, split
from transfer.client import ReceiverClient
from transfer.digest import chunk_digest, root_digest
from transfer.errors import (
    ChunkCorrupt,
    FileCorrupt,
    NameTaken,
    NotFound,
    ProtocolMismatch,
    SourceChanged,
    TransferError,
    UploadConflict,
    UploadGone,
    UploadIncomplete,
)
from transfer.names import check_path, check_session_name
from transfer.patience import Patience, jittered
from transfer.protocol import SMALL_FILE_BYTES, UploadDeclaration, UploadState
from transfer.records import Receipt
from transfer.source import Source

CORRUPT_TRIES = 5
COMMIT_TRIES = 4
DECLARE_TRIES = 3

T = TypeVar("T")
OnProgress = Callable[[int], None]
"""Called from the pool's threads with a number of bytes that the receiver has now (sent, or found there)."""


@dataclass(frozen=True, slots=True)
class FileToSend:
    """A file and the name that it gets on the receiver.

    `digest` is the root digest that the file must have (from a journal); None: whatever is found. `listed` is what the
    receiver listed under that name, if the caller asked: a small file that is already there is then not sent again
    (a larger one never is).
    """

    source: Path
    session: str
    path: str
    revision: int = 1
    digest: str | None = None
    listed: Receipt | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file: its receipt, or why there is none."""

    file: FileToSend
    receipt: Receipt | None = None
    error: TransferError | None = None


class Sender:
    """Sends files to one receiver; `send` may be called from several threads, which share the pool.

    Parameters
    ----------
    client
        The receiver. It stays open when the sender is closed.
    connections
        How many chunks are on their way at once; each takes `CHUNK_BYTES` of memory.
    give_up_after_s
        How long, in s, a request that fails for now is repeated; None: until `should_stop` says so.
    quiet_s
        An upload of the same name that another sender began is left to it while it grows, and taken over (withdrawn, if
        it is of another size) when nothing has arrived for this long, in s.

    Attributes
    ----------
    sent_bytes
        What has been sent and accepted so far, all files together; what was found on the receiver is not in it.
    """

    def __init__(
        self,
        client: ReceiverClient,
        *,
        connections: int = 8,
        give_up_after_s: float | None = 60.0,
        quiet_s: float = 2.0,
    ) -> None:
        self.client = client
        self.connections = connections
        self.give_up_after_s = give_up_after_s
        self.quiet_s = quiet_s
        self.sent_bytes = 0
        self._counting = threading.Lock()
        self._buffers = threading.local()
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="cryoferry-send")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Wait for what is on its way and end the pool."""
        self._pool.shutdown(cancel_futures=True)

    def send(
        self,
        file: FileToSend,
        *,
        on_progress: OnProgress | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Receipt:
        """Send a file and return the receiver's receipt for it.

        Raises
        ------
        BadName, SourceUnreadable
            Before a byte is sent.
        SourceChanged
            The file is not the one that was opened, or not the one of `file.digest`; nothing was published.
        NameTaken
            Another content has that name and revision; both are safe.
        TemporaryError
            It went on for longer than `give_up_after_s`; what was received is kept.
        TransferStopped, AuthRejected, and the other errors of `transfer.errors`
        """
        check_session_name(file.session)
        check_path(file.path)
        with Source(file.source) as source:
            sending = _Sending(self, file, source, on_progress or (lambda _: None), should_stop or (lambda: False))
            return sending.whole() if source.size_bytes <= SMALL_FILE_BYTES else sending.parts()

    def send_many(
        self,
        files: Iterable[FileToSend],
        *,
        on_progress: OnProgress | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Iterator[Outcome]:
        """Send files side by side; yield what became of each, in the order of their ends.

        Leaving the loop early stops what is on its way.
        """
        left = threading.Event()

        def one(file: FileToSend) -> Outcome:
            try:
                stop = (lambda: left.is_set() or should_stop()) if should_stop else left.is_set
                return Outcome(file, receipt=self.send(file, on_progress=on_progress, should_stop=stop))
            except TransferError as error:
                return Outcome(file, error=error)

        with ThreadPoolExecutor(self.connections, thread_name_prefix="cryoferry-file") as files_at_once:
            try:
                for future in as_completed([files_at_once.submit(one, file) for file in files]):
                    yield future.result()
            finally:
                left.set()

    def run(self, jobs: Iterable[Callable[[], T]], abort: threading.Event) -> list[T]:
        """Run jobs in the pool and return their results; at the first error `abort` is set until none runs any more."""
        futures: list[Future[T]] = [self._pool.submit(job) for job in jobs]
        try:
            for future in as_completed(futures):
                future.result()
        finally:
            abort.set()
            for future in futures:
                future.cancel()
            wait(futures)
            abort.clear()
        return [future.result() for future in futures]

    def count(self, sent_bytes: int) -> None:
        """Add to `sent_bytes`."""
        with self._counting:
            self.sent_bytes += sent_bytes

    def buffer(self, size_bytes: int) -> memoryview:
        """Return this thread's own buffer, cut to a size of at most `CHUNK_BYTES`."""
        if not hasattr(self._buffers, "chunk"):
            self._buffers.chunk = bytearray(CHUNK_BYTES)
        return memoryview(self._buffers.chunk)[:size_bytes]


class _Sending:
    """One file on its way."""

    def __init__(
        self,
        sender: Sender,
        file: FileToSend,
        source: Source,
        on_progress: OnProgress,
        should_stop: Callable[[], bool],
    ) -> None:
        self.sender, self.client = sender, sender.client
        self.file, self.source = file, source
        self.on_progress = on_progress
        self.abort = threading.Event()
        self.patience = Patience(sender.give_up_after_s, lambda: self.abort.is_set() or should_stop())
        self.chunks = split(source.size_bytes)
        self.digests: list[bytes | None] = [None] * len(self.chunks)
        self.digest = ""

    # In one request

    def whole(self) -> Receipt:
        """Send a small file in one request; where the name is reserved by another upload, see what becomes of that."""
        try:
            (receipt,) = self.sender.run([self._whole], self.abort)
        except (UploadConflict, NameTaken) as taken:
            if _reserving(taken) is None:
                raise
            return self.parts()
        self.on_progress(self.source.size_bytes)
        return self._believed(receipt)

    def _whole(self) -> Receipt:
        data = self.sender.buffer(self.source.size_bytes)
        file = self.file

        def attempt() -> Receipt:
            self.source.read_into(data, 0)
            digest = chunk_digest(data)
            self._settle([digest] if data else [])
            if file.listed == self._expected():
                return file.listed
            receipt = self.patience.repeat(
                lambda: self.client.put_file(file.session, file.path, file.revision, data, digest)
            )
            self.sender.count(len(data))
            return receipt

        return _again_if_corrupt(attempt)

    # In parts

    def parts(self) -> Receipt:
        """Send a file as an upload of chunks, or what is missing of it."""
        for _ in range(DECLARE_TRIES):
            upload_id, missing = self._declare()
            try:
                return self._believed(self._fill(upload_id, missing))
            except (UploadGone, NotFound) as error:
                gone = error
            except SourceChanged:
                self._withdraw(upload_id)
                raise
        raise gone

    def _declare(self) -> tuple[UUID, set[int]]:
        """Return the upload to fill and the numbers of the chunks that it lacks."""
        file, upload_id = self.file, uuid4()
        declaration = UploadDeclaration(
            session=file.session, path=file.path, revision=file.revision, size_bytes=self.source.size_bytes
        )
        while True:
            try:
                status = self.patience.repeat(lambda: self.client.declare(upload_id, declaration))
            except UploadConflict as conflict:
                if (other := _reserving(conflict)) is None:
                    raise
                return other, self._once_quiet(other)
            except NameTaken as taken:
                if (other := _reserving(taken)) is None:
                    raise
                self._outlast(other)
            else:
                if status.state == UploadState.COMMITTED:
                    return status.upload_id, set()
                return upload_id, set(range(len(self.chunks)))

    def _once_quiet(self, upload_id: UUID) -> set[int]:
        """Return what an upload that another sender began lacks, once it is complete or nothing arrives any more."""
        missing = self._missing(upload_id)
        while missing:
            self.patience.wait(jittered(self.sender.quiet_s, 1.5 * self.sender.quiet_s))
            before, missing = missing, self._missing(upload_id)
            if missing == before:
                break
        return missing

    def _outlast(self, upload_id: UUID) -> None:
        """Wait until an upload of another size is committed, or withdraw it once nothing arrives any more."""
        quiet_s = self.sender.quiet_s
        while True:
            self.patience.wait(jittered(quiet_s, 1.5 * quiet_s))
            try:
                self.patience.repeat(lambda: self.client.withdraw(upload_id, quiet_s=quiet_s))
            except UploadConflict as conflict:
                if conflict.extra.get("state") == UploadState.RECEIVING:
                    continue
            except NotFound:
                pass  # the receiver forgot it; the next declaration tells
            return

    def _missing(self, upload_id: UUID) -> set[int]:
        ranges = self.patience.repeat(lambda: self.client.missing(upload_id))
        if any(part.stop > self.source.size_bytes or not part for part in ranges):
            raise ProtocolMismatch(f"{self.file.path}: the receiver asks for bytes that the file has not")
        return {
            index for part in ranges for index in range(part.start // CHUNK_BYTES, (part.stop - 1) // CHUNK_BYTES + 1)
        }

    def _fill(self, upload_id: UUID, missing: set[int]) -> Receipt:
        tries = 0
        while True:
            digest = self._send_chunks(upload_id, missing)
            tries += 1
            try:
                return self.patience.repeat(partial(self.client.commit, upload_id, digest))
            except UploadIncomplete:
                if tries == COMMIT_TRIES:
                    raise
                missing = self._missing(upload_id)
            except FileCorrupt:
                # The upload holds chunks of another content: what somebody left unfinished, or sends right now.
                if tries == COMMIT_TRIES:
                    raise
                self.patience.wait(jittered(0, tries * self.sender.quiet_s))
                missing = set(range(len(self.chunks)))

    def _send_chunks(self, upload_id: UUID, missing: set[int]) -> str:
        """Send the missing chunks, hash those not hashed yet; return the root digest of the unchanged source."""
        wanted = [index for index, digest in enumerate(self.digests) if digest is None or index in missing]
        self.sender.run([self._chunk_job(upload_id, index, send=index in missing) for index in wanted], self.abort)
        return self._settle([digest for digest in self.digests if digest is not None])

    def _chunk_job(self, upload_id: UUID, index: int, *, send: bool) -> Callable[[], None]:
        def attempt() -> None:
            self.patience.check()
            chunk = self.chunks[index]
            data = self.sender.buffer(len(chunk))
            self.source.read_into(data, chunk.start)
            digest = chunk_digest(data)
            if self.digests[index] not in (None, digest):
                raise SourceChanged(f"{self.source.path} reads differently than before, from byte {chunk.start}")
            if send:
                size_bytes = self.source.size_bytes
                self.patience.repeat(lambda: self.client.put_range(upload_id, chunk, size_bytes, data, digest))
                self.sender.count(len(chunk))
            if self.digests[index] is None:
                self.on_progress(len(chunk))
            self.digests[index] = digest

        return lambda: _again_if_corrupt(attempt)

    def _withdraw(self, upload_id: UUID) -> None:
        """Free the name, if the receiver can be reached; an upload left behind expires there by itself."""
        try:
            self.client.withdraw(upload_id)
        except TransferError:
            return

    # Both

    def _settle(self, digests: list[bytes]) -> str:
        """Return the root digest of the whole file, once the source is known to be what it was and must be."""
        self.source.check_unchanged()
        self.digest = root_digest(digests)
        if self.file.digest not in (None, self.digest):
            raise SourceChanged(f"{self.source.path} has not the digest {self.file.digest} any more")
        return self.digest

    def _believed(self, receipt: Receipt) -> Receipt:
        """Return the receipt if it is for the file that was sent."""
        if receipt != self._expected():
            raise FileCorrupt(f"{self.file.path}: the receipt is for {receipt}, sent was {self._expected()}")
        return receipt

    def _expected(self) -> Receipt:
        file, size_bytes = self.file, self.source.size_bytes
        return Receipt(
            session=file.session, path=file.path, revision=file.revision, size_bytes=size_bytes, digest=self.digest
        )


def _reserving(refusal: UploadConflict | NameTaken) -> UUID | None:
    """Return the unfinished upload that holds a name; None where it is not one, but a committed file."""
    told = refusal.extra.get("upload_id")
    try:
        return None if told is None else UUID(str(told))
    except ValueError as error:
        raise ProtocolMismatch(f"{str(told)[:100]!r} is no upload's id") from error


def _again_if_corrupt(attempt: Callable[[], T]) -> T:
    for _ in range(CORRUPT_TRIES - 1):
        try:
            return attempt()
        except ChunkCorrupt:
            continue
    return attempt()
