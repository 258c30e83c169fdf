"""One file on its way: declared, its chunks sent, committed; or all of it in one request."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

from pydantic import ValidationError

from transfer.client import ReceiverClient
from transfer.connections.contract import Put
from transfer.connections.requests import put_chunks, put_file
from transfer.pace.pacing import Lane
from transfer.pace.retrying import Patience, jittered
from transfer.upload.compression import encode, shrinks
from transfer.upload.exchange import Exchange
from transfer.upload.scheduler import ConnectionPool, Urgency
from transfer.upload.source import Source
from transfer.wire.chunks import CHUNK_BYTES, split, take_run
from transfer.wire.digest import root_digest
from transfer.wire.errors import (
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
from transfer.wire.protocol import UploadDeclaration, UploadState
from transfer.wire.receipt import Receipt

COMMIT_TRIES = 4
DECLARE_TRIES = 3

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
    lane: Lane = Lane.FOREGROUND


class Engine(Protocol):
    """What a file's sending needs of the sender."""

    client: ReceiverClient
    pool: ConnectionPool
    quiet_s: float
    may_compress: bool

    def count(self, sent_bytes: int) -> None:
        """Add to what has been sent and accepted."""


class Sending:
    """One file on its way."""

    def __init__(
        self, engine: Engine, file: FileToSend, source: Source, on_progress: OnProgress, patience: Patience
    ) -> None:
        self.engine, self.client = engine, engine.client
        self.file, self.source = file, source
        self.on_progress = on_progress
        self.abort = threading.Event()
        self.patience = Patience(patience.give_up_after_s, lambda: self.abort.is_set() or patience.should_stop())
        self.chunks = split(source.size_bytes)
        self.hashed: list[bytes | None] = [None] * len(self.chunks)
        self.told: set[int] = set()
        self.taking = threading.Lock()
        self.digest = ""
        newest_first = -source.identity.mtime_ns
        self.urgency: Urgency = (file.lane, newest_first)

    # In one request

    def whole(self) -> Receipt:
        """Send a small file in one request; where the name is reserved by another upload, see what becomes of that."""
        receipts: list[Receipt] = []
        exchange = Exchange(
            partial(self._prepare_whole, receipts), partial(self._accept_whole, receipts), self.patience
        )
        try:
            self.engine.pool.run([exchange], self.urgency, self.abort)
        except (UploadConflict, NameTaken) as taken:
            if _reserving(taken) is None:
                raise
            return self.parts()
        self.on_progress(self.source.size_bytes)
        return self._believed(receipts[-1])

    def _prepare_whole(self, receipts: list[Receipt], buffer: memoryview, may_encode: bool) -> Put | None:
        file, source = self.file, self.source
        digest, encoded = self._read(range(source.size_bytes), buffer, may_encode=may_encode)
        before, self.digest = self.digest, self._settled([digest] if source.size_bytes else [])
        if before not in ("", self.digest):
            raise SourceChanged(f"{source.path} reads differently than before")
        if file.listed == self._expected():
            receipts.append(file.listed)
            return None
        return put_file(file.session, file.path, file.revision, source, digest, encoded)

    def _accept_whole(self, receipts: list[Receipt], body: bytes) -> None:
        try:
            receipts.append(Receipt.model_validate_json(body))
        except ValidationError as error:
            raise ProtocolMismatch(f"{self.file.path}: no Receipt in the answer") from error
        self.engine.count(self.source.size_bytes)

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
            self.patience.wait(jittered(self.engine.quiet_s, 1.5 * self.engine.quiet_s))
            before, missing = missing, self._missing(upload_id)
            if missing == before:
                break
        return missing

    def _outlast(self, upload_id: UUID) -> None:
        """Wait until an upload of another size is committed, or withdraw it once nothing arrives any more."""
        quiet_s = self.engine.quiet_s
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
                self.patience.wait(jittered(0, tries * self.engine.quiet_s))
                missing = set(range(len(self.chunks)))

    def _send_chunks(self, upload_id: UUID, missing: set[int]) -> str:
        """Send the missing chunks, hash those not hashed yet; return the root digest of the unchanged source."""
        unhashed = [index for index, digest in enumerate(self.hashed) if digest is None and index not in missing]
        wanted = deque(sorted(missing))
        exchanges = [self._send_next(upload_id, wanted) for _ in missing]
        self.engine.pool.run([*exchanges, *map(self._hash_one, unhashed)], self.urgency, self.abort, wanted)
        self.digest = self._settled([digest for digest in self.hashed if digest is not None])
        return self.digest

    def _send_next(self, upload_id: UUID, wanted: deque[int]) -> Exchange:
        """Return the exchange that sends the next wanted chunk, and its neighbours where they may share a request.

        There are as many of these as chunks; those that find all of them taken have nothing to do.
        """
        run = range(0)

        def prepare(buffer: memoryview, may_encode: bool) -> Put | None:
            nonlocal run
            run = run or self._next_run(wanted)
            if not run:
                return None
            read = [self._read_chunk(index, buffer, may_encode=may_encode and len(run) == 1) for index in run]
            part = range(self.chunks[run[0]].start, self.chunks[run[-1]].stop)
            return put_chunks(upload_id, self.source, part, [digest for digest, _ in read], read[0][1])

        def accept(_: bytes) -> None:
            self.engine.count(sum(len(self.chunks[index]) for index in run))
            for index in run:
                self._tell(index)

        return Exchange(prepare, accept, self.patience)

    def _next_run(self, wanted: deque[int]) -> range:
        """Take wanted chunks that lie side by side, as many as may go at once."""
        with self.taking:
            return take_run(wanted, self.engine.pool.chunks_at_once())

    def _hash_one(self, index: int) -> Exchange:
        """Return the exchange that only reads a chunk, which the receiver has."""

        def prepare(buffer: memoryview, _: bool) -> None:
            self._read_chunk(index, buffer, may_encode=False)
            self._tell(index)

        return Exchange(prepare, lambda _: None, self.patience)

    def _read_chunk(self, index: int, buffer: memoryview, *, may_encode: bool) -> tuple[bytes, bytes | None]:
        """Return a chunk's digest, noted, and the chunk encoded where that pays."""
        digest, encoded = self._read(self.chunks[index], buffer, may_encode=may_encode)
        if self.hashed[index] not in (None, digest):
            start = self.chunks[index].start
            raise SourceChanged(f"{self.source.path} reads differently than before, from byte {start}")
        self.hashed[index] = digest
        return digest, encoded

    def _tell(self, index: int) -> None:
        if index not in self.told:
            self.told.add(index)
            self.on_progress(len(self.chunks[index]))

    def _withdraw(self, upload_id: UUID) -> None:
        """Free the name, if the receiver can be reached; an upload left behind expires there by itself."""
        try:
            self.client.withdraw(upload_id)
        except TransferError:
            return

    # Both

    def _read(self, part: range, buffer: memoryview, *, may_encode: bool) -> tuple[bytes, bytes | None]:
        """Return the BLAKE3 digest of a part, and the part encoded where that pays."""
        if may_encode and self.engine.may_compress and self._shrinks:
            encoded, digest = encode(self.source, part, buffer)
            return digest, encoded
        return self.source.digest(part, buffer), None

    @cached_property
    def _shrinks(self) -> bool:
        return shrinks(self.source)

    def _settled(self, digests: list[bytes]) -> str:
        """Return the root digest of the whole file, once the source is known to be what it was and must be."""
        self.source.check_unchanged()
        digest = root_digest(digests)
        if self.file.digest not in (None, digest):
            raise SourceChanged(f"{self.source.path} has not the digest {self.file.digest} any more")
        return digest

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
