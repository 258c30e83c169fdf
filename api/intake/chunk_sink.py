"""Request bodies: from the socket through the digests onto the disk, in bounded memory."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import time
from collections.abc import Sequence
from typing import Protocol

from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.digest import CHUNKED, Hasher, digest_by_chunks, new_hasher
from transfer.wire.errors import BadRequest, ChunkCorrupt, ReceiverBusy

LOCK_WAIT_S = 5.0
_LOCK_POLL_S = 0.02


class BodySink(Protocol):
    """What takes a body, block by block."""

    @property
    def digests(self) -> list[bytes]:
        """The BLAKE3 digests of the chunks that are complete."""

    def add(self, blocks: Sequence[bytes | memoryview]) -> None:
        """Take the next bytes."""

    def finish(self, sent: bytes | None) -> None:
        """Check that everything came, as the sender says."""

    def close(self) -> None:
        """Let go of what it holds."""


class BodyTaker(Protocol):
    """What a body is handed to: a place that is made ready, filled and finished, all but `ready` in worker threads."""

    def begin(self) -> bool:
        """Open the place before the first bytes; False: not before `ready`."""

    async def ready(self) -> None:
        """Wait until the place can be filled."""

    def add(self, blocks: Sequence[bytes | memoryview]) -> None:
        """Take the next bytes."""

    def end(self) -> None:
        """Finish behind the last bytes."""


class ChunkSink:
    """Takes a run of whole chunks in order: hashes each, and writes it at its place.

    Parameters
    ----------
    fd
        The part file; None: hash only.
    span
        The bytes of the file that will come; begins on a chunk's first byte.
    algorithm
        Of the digest that the sender computed over the whole span (see `transfer.wire.digest`); None: it gave none.
    """

    def __init__(self, fd: int | None, span: range, algorithm: str | None) -> None:
        self._fd = fd
        self._span = span
        self._offset = span.start
        self._algorithm = algorithm
        # What the chunks' digests tell is not hashed twice.
        self._whole = None if algorithm is None or self._told_by_chunks(algorithm) else new_hasher(algorithm)
        self._chunk: Hasher = new_hasher("blake3")
        self.digests: list[bytes] = []

    def _told_by_chunks(self, algorithm: str) -> bool:
        return algorithm == CHUNKED or (algorithm == "blake3" and 0 < len(self._span) <= CHUNK_BYTES)

    def add(self, blocks: Sequence[bytes | memoryview]) -> None:
        """Hash and write the next bytes.

        Raises
        ------
        BadRequest
            More bytes than announced.
        OSError
        """
        if self._offset + sum(map(len, blocks)) > self._span.stop:
            raise BadRequest(f"the body is longer than its range of {len(self._span)} bytes")
        for block in blocks:
            if self._whole is not None:
                self._whole.update(block)
            if self._fd is not None:
                _write_all(self._fd, block, self._offset)
            self._hash_chunks(memoryview(block))

    def _hash_chunks(self, block: memoryview) -> None:
        while block:
            chunk_stop = min(self._offset - self._offset % CHUNK_BYTES + CHUNK_BYTES, self._span.stop)
            part = block[: chunk_stop - self._offset]
            self._chunk.update(part)
            self._offset += len(part)
            block = block[len(part) :]
            if self._offset == chunk_stop:
                self.digests.append(self._chunk.digest())
                self._chunk = new_hasher("blake3")

    def finish(self, sent: bytes | None) -> None:
        """Check that everything came, as it was sent.

        Raises
        ------
        BadRequest
            Fewer bytes than announced.
        ChunkCorrupt
            Other bytes than announced.
        """
        if self._offset != self._span.stop:
            raise BadRequest(f"the body has {self._offset - self._span.start} bytes, its range {len(self._span)}")
        if self._algorithm is None:
            return
        arrived = self._whole.digest() if self._whole else digest_by_chunks(self._algorithm, self.digests)
        if arrived != sent:
            raise ChunkCorrupt(f"bytes {self._span.start} to {self._span.stop} do not match their Content-Digest")

    def close(self) -> None:
        """Do nothing: the file is not this sink's."""


def _write_all(fd: int, block: bytes | memoryview, offset: int) -> None:
    rest = memoryview(block)
    while rest:
        written = os.pwrite(fd, rest, offset)
        if written == 0:
            raise OSError("the disk took no bytes")
        rest = rest[written:]
        offset += written


def try_lock(fd: int, span: range | None) -> bool:
    """Take the lock of a part file's bytes (None: of all), whoever else of whatever process may want it."""
    start, length = (span.start, len(span)) if span else (0, 0)
    wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
    except BlockingIOError:
        return False
    return True


_BUSY = "another request is writing the same bytes"


async def lock_span(fd: int, span: range | None) -> None:
    """Wait for the lock of some bytes of a part file; closing the descriptor releases it.

    Raises
    ------
    ReceiverBusy
        Another request keeps it.
    """
    deadline = time.monotonic() + LOCK_WAIT_S
    while not try_lock(fd, span):
        if time.monotonic() > deadline:
            raise ReceiverBusy(_BUSY)
        await asyncio.sleep(_LOCK_POLL_S)


def lock_whole(fd: int, *, wait_s: float = LOCK_WAIT_S) -> None:
    """Wait, in a thread, for the lock of a whole part file; closing the descriptor releases it.

    Raises
    ------
    ReceiverBusy
        Another request keeps it.
    """
    deadline = time.monotonic() + wait_s
    while not try_lock(fd, None):
        if time.monotonic() >= deadline:
            raise ReceiverBusy(_BUSY)
        time.sleep(_LOCK_POLL_S)
