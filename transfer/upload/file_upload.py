"""Sends one file: as an upload of chunks that is declared, filled and committed, or in one request if it is small."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from uuid import UUID, uuid4

from pydantic import ValidationError

from transfer.client import ReceiverClient
from transfer.connections.contract import Put
from transfer.connections.requests import put_chunks, put_file
from transfer.pace.retrying import RetryPolicy, jittered
from transfer.source import Source
from transfer.upload.compression import encode, shrinks
from transfer.upload.exchange import Exchange
from transfer.upload.file_to_send import FileToSend, OnProgress
from transfer.upload.grouping import take_run
from transfer.upload.scheduler import UploadScheduler
from transfer.upload.task_queue import Urgency
from transfer.wire.chunks import CHUNK_BYTES, split
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
from transfer.wire.foreign_answers import foreign_answer
from transfer.wire.protocol import UploadDeclaration, UploadState
from transfer.wire.receipt import Receipt

COMMIT_TRIES = 4
DECLARE_TRIES = 3


class FileUpload:
    """One file that is being sent.

    Parameters
    ----------
    client
        Declares, commits and withdraws the upload.
    scheduler
        Sends the chunks.
    file, source
        The file and its name; the opened file.
    retry
        How long temporary errors are retried.
    on_progress
        Called with a number of bytes that the receiver has now.
    on_sent
        Called with a number of bytes that were sent and accepted.
    quiet_s
        How long, in s, an unfinished upload by another sender must have been without new bytes before it is taken over.
    may_compress
        Whether chunks may be compressed for the network.
    """

    def __init__(
        self,
        client: ReceiverClient,
        scheduler: UploadScheduler,
        file: FileToSend,
        source: Source,
        retry: RetryPolicy,
        *,
        on_progress: OnProgress,
        on_sent: Callable[[int], None],
        quiet_s: float,
        may_compress: bool,
    ) -> None:
        self._client, self._scheduler = client, scheduler
        self._file, self._source = file, source
        self._on_progress, self._on_sent = on_progress, on_sent
        self._quiet_s, self._may_compress = quiet_s, may_compress
        self._abort = threading.Event()
        self._retry = replace(retry, should_stop=lambda: self._abort.is_set() or retry.should_stop())
        self._chunks = split(source.size_bytes)
        self._digests: list[bytes | None] = [None] * len(self._chunks)
        self._reported: set[int] = set()
        self._taking = threading.Lock()
        self._root_digest = ""
        self._urgency: Urgency = (file.priority, -source.identity.mtime_ns)  # of one priority, the newest first

    # In one request

    def send_whole(self) -> Receipt:
        """Send a small file in one request, or in chunks if an unfinished upload has its name."""
        receipts: list[Receipt] = []
        exchange = Exchange(partial(self._prepare_whole, receipts), partial(self._accept_whole, receipts), self._retry)
        try:
            self._scheduler.run([exchange], self._urgency, self._abort)
        except (UploadConflict, NameTaken) as taken:
            if _unfinished_upload(taken) is None:
                raise
            return self.send_in_chunks()
        self._on_progress(self._source.size_bytes)
        return self._checked(receipts[-1])

    def _prepare_whole(self, receipts: list[Receipt], buffer: memoryview, may_encode: bool) -> Put | None:
        file, source = self._file, self._source
        digest, encoded = self._read(range(source.size_bytes), buffer, may_encode=may_encode)
        before, self._root_digest = self._root_digest, self._digest_of_unchanged([digest] if source.size_bytes else [])
        if before not in ("", self._root_digest):
            raise SourceChanged(f"{source.path} changed while it was being sent; it was not published")
        if file.listed is not None and file.listed.is_there and file.listed.file == self._expected().file:
            receipts.append(file.listed.receipt)
            return None
        return put_file(file.session, file.path, file.revision, source, digest, encoded)

    def _accept_whole(self, receipts: list[Receipt], body: bytes) -> None:
        try:
            receipts.append(Receipt.model_validate_json(body))
        except ValidationError as error:
            raise foreign_answer(200, body, where=f"PUT {self._file.path}") from error
        self._on_sent(self._source.size_bytes)

    # In chunks

    def send_in_chunks(self) -> Receipt:
        """Send a file as an upload of chunks, without those that the receiver has already."""
        for _ in range(DECLARE_TRIES):
            upload_id, missing = self._declare()
            try:
                return self._checked(self._fill(upload_id, missing))
            except (UploadGone, NotFound) as error:
                gone = error
            except SourceChanged:
                self._withdraw(upload_id)
                raise
        raise gone

    def _declare(self) -> tuple[UUID, set[int]]:
        """Return the id of the upload to fill, and the indices of the chunks that it lacks."""
        file, upload_id = self._file, uuid4()
        declaration = UploadDeclaration(
            session=file.session, path=file.path, revision=file.revision, size_bytes=self._source.size_bytes
        )
        while True:
            try:
                status = self._retry.repeat(lambda: self._client.declare(upload_id, declaration))
            except UploadConflict as conflict:
                if (other := _unfinished_upload(conflict)) is None:
                    raise
                return other, self._missing_once_quiet(other)
            except NameTaken as taken:
                if (other := _unfinished_upload(taken)) is None:
                    raise
                self._wait_for_other(other)
            else:
                if status.state == UploadState.COMMITTED:
                    return status.upload_id, set()
                return upload_id, set(range(len(self._chunks)))

    def _missing_once_quiet(self, upload_id: UUID) -> set[int]:
        """Return which chunks another sender's upload lacks, once it is complete or gets no new bytes."""
        missing = self._missing(upload_id)
        while missing:
            self._wait_quiet()
            before, missing = missing, self._missing(upload_id)
            if missing == before:
                break
        return missing

    def _wait_for_other(self, upload_id: UUID) -> None:
        """Wait until another sender's upload, of another size, is committed; withdraw it if it gets no new bytes."""
        while True:
            self._wait_quiet()
            try:
                self._retry.repeat(lambda: self._client.withdraw(upload_id, quiet_s=self._quiet_s))
            except UploadConflict as conflict:
                if conflict.extra.get("state") == UploadState.RECEIVING:
                    continue
            except NotFound:
                pass  # the receiver has no such upload any more; the next declaration shows what is there
            return

    def _wait_quiet(self) -> None:
        self._retry.wait(jittered(self._quiet_s, 1.5 * self._quiet_s))

    def _missing(self, upload_id: UUID) -> set[int]:
        ranges = self._retry.repeat(lambda: self._client.missing(upload_id))
        if any(part.stop > self._source.size_bytes or not part for part in ranges):
            raise ProtocolMismatch(f"{self._file.path}: the receiver asks for bytes that the file does not have")
        return {
            index for part in ranges for index in range(part.start // CHUNK_BYTES, (part.stop - 1) // CHUNK_BYTES + 1)
        }

    def _fill(self, upload_id: UUID, missing: set[int]) -> Receipt:
        tries = 0
        while True:
            digest = self._send_chunks(upload_id, missing)
            tries += 1
            try:
                return self._retry.repeat(partial(self._client.commit, upload_id, digest))
            except UploadIncomplete:
                if tries == COMMIT_TRIES:
                    raise
                missing = self._missing(upload_id)
            except FileCorrupt:
                # The upload holds chunks of another content, which another sender left there or sends right now.
                if tries == COMMIT_TRIES:
                    raise
                self._retry.wait(jittered(0, tries * self._quiet_s))
                missing = set(range(len(self._chunks)))

    def _send_chunks(self, upload_id: UUID, missing: set[int]) -> str:
        """Send the missing chunks, hash those not hashed yet; return the root digest of the unchanged source."""
        unhashed = [index for index, digest in enumerate(self._digests) if digest is None and index not in missing]
        wanted = deque(sorted(missing))
        exchanges = [self._send_next(upload_id, wanted) for _ in missing]
        self._scheduler.run([*exchanges, *map(self._hash_one, unhashed)], self._urgency, self._abort, wanted)
        self._root_digest = self._digest_of_unchanged([digest for digest in self._digests if digest is not None])
        return self._root_digest

    def _send_next(self, upload_id: UUID, wanted: deque[int]) -> Exchange:
        """Return the exchange that sends the next wanted chunk, and its neighbours if they may share a request.

        There are as many exchanges as chunks. An exchange that finds no wanted chunk has nothing to do.
        """
        run = range(0)

        def prepare(buffer: memoryview, may_encode: bool) -> Put | None:
            nonlocal run
            run = run or self._next_run(wanted)
            if not run:
                return None
            read = [self._read_chunk(index, buffer, may_encode=may_encode and len(run) == 1) for index in run]
            part = range(self._chunks[run[0]].start, self._chunks[run[-1]].stop)
            return put_chunks(upload_id, self._source, part, [digest for digest, _ in read], read[0][1])

        def accept(body: bytes) -> None:
            if body:
                raise foreign_answer(200, body, where=f"PUT {self._file.path}")
            self._on_sent(sum(len(self._chunks[index]) for index in run))
            for index in run:
                self._report(index)

        return Exchange(prepare, accept, self._retry)

    def _next_run(self, wanted: deque[int]) -> range:
        """Take wanted chunks that are neighbours, as many as may share a request."""
        with self._taking:
            return take_run(wanted, self._scheduler.chunks_per_request())

    def _hash_one(self, index: int) -> Exchange:
        """Return the exchange that only reads and hashes a chunk that the receiver has."""

        def prepare(buffer: memoryview, _: bool) -> None:
            self._read_chunk(index, buffer, may_encode=False)
            self._report(index)

        return Exchange(prepare, lambda _: None, self._retry)

    def _read_chunk(self, index: int, buffer: memoryview, *, may_encode: bool) -> tuple[bytes, bytes | None]:
        """Return and keep a chunk's digest; return the chunk compressed too, if that pays."""
        digest, encoded = self._read(self._chunks[index], buffer, may_encode=may_encode)
        if self._digests[index] not in (None, digest):
            start = self._chunks[index].start
            raise SourceChanged(
                f"{self._source.path} changed after byte {start} while it was being sent; it was not published"
            )
        self._digests[index] = digest
        return digest, encoded

    def _report(self, index: int) -> None:
        if index not in self._reported:
            self._reported.add(index)
            self._on_progress(len(self._chunks[index]))

    def _withdraw(self, upload_id: UUID) -> None:
        """Free the name if the receiver can be reached; otherwise the upload expires on the receiver by itself."""
        try:
            self._client.withdraw(upload_id)
        except TransferError:
            return

    # Both

    def _read(self, part: range, buffer: memoryview, *, may_encode: bool) -> tuple[bytes, bytes | None]:
        """Return the BLAKE3 digest of a part, and the part compressed if that pays."""
        if may_encode and self._may_compress and self._shrinks:
            encoded, digest = encode(self._source, part, buffer)
            return digest, encoded
        return self._source.digest(part, buffer), None

    @cached_property
    def _shrinks(self) -> bool:
        return shrinks(self._source)

    def _digest_of_unchanged(self, digests: list[bytes]) -> str:
        """Return the root digest of the file, after checking that the file is unchanged and the expected one."""
        self._source.check_unchanged()
        digest = root_digest(digests)
        if self._file.digest not in (None, digest):
            raise SourceChanged(
                f"{self._source.path} has the digest {digest} and not {self._file.digest}; it was not published"
            )
        return digest

    def _checked(self, receipt: Receipt) -> Receipt:
        """Return the receipt if it is for the file that was sent."""
        if receipt.file != self._expected().file:
            raise FileCorrupt(
                f"{self._file.path}: the receiver's receipt is for {receipt}, but {self._expected()} was sent"
            )
        return receipt

    def _expected(self) -> Receipt:
        file, size_bytes = self._file, self._source.size_bytes
        return Receipt(
            session=file.session,
            path=file.path,
            revision=file.revision,
            size_bytes=size_bytes,
            digest=self._root_digest,
        )


def _unfinished_upload(refusal: UploadConflict | NameTaken) -> UUID | None:
    """Return the id of the unfinished upload that has the name; None if a committed file has it."""
    upload_id = refusal.extra.get("upload_id")
    try:
        return None if upload_id is None else UUID(str(upload_id))
    except ValueError as error:
        raise ProtocolMismatch(
            f"the receiver named the upload {str(upload_id)[:100]!r}, which is not a UUID"
        ) from error
