"""Decompresses bodies (Content-Encoding: zstd, RFC 8878) while they arrive, in bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import IO, cast

import zstandard

from api.intake.chunk_sink import ChunkSink
from transfer.wire.digest import new_hasher
from transfer.wire.errors import BadRequest, ChunkCorrupt, ReceiverBusy, UnsupportedCoding
from transfer.wire.protocol import ZSTD

MOST_WINDOW_BYTES = 1 << 21  # of decompressed bytes that a decoder keeps
MOST_AT_ONCE = 64
WRITE_BYTES = 1 << 19
SLACK_BYTES = 1 << 12  # for headers of frames and blocks, beyond what zstd adds to data that do not shrink

_room = threading.BoundedSemaphore(MOST_AT_ONCE)


def is_encoded(content_encoding: str | None) -> bool:
    """Return whether a body with this Content-Encoding must be decompressed.

    Raises
    ------
    UnsupportedCoding
        The coding is neither `identity` nor zstd.
    """
    coding = (content_encoding or "identity").strip().lower()
    if coding not in ("identity", ZSTD):
        raise UnsupportedCoding(f"Content-Encoding {coding!r} is not supported; use zstd or none")
    return coding == ZSTD


class DecodingSink:
    """Takes a compressed body, decompresses it, and passes the bytes on to a sink.

    Parameters
    ----------
    decoded
        Takes the decompressed bytes. It refuses more than it expects, so a small body cannot fill the disk.
    decoded_bytes
        How many decompressed bytes there will be.
    algorithm
        Of the digest that the sender computed over the compressed body; None: the sender gave none.

    Raises
    ------
    ReceiverBusy
        Too many bodies are being decompressed.
    """

    def __init__(self, decoded: ChunkSink, decoded_bytes: int, algorithm: str | None) -> None:
        self._decoded = decoded
        self._left_bytes = decoded_bytes + decoded_bytes // 128 + SLACK_BYTES
        self._encoded = None if algorithm is None else new_hasher(algorithm)
        if not _room.acquire(blocking=False):
            raise ReceiverBusy("the receiver decompresses as many bodies as it can")
        decompressor = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW_BYTES)
        self._writer = decompressor.stream_writer(
            cast("IO[bytes]", _DecodedBytes(decoded)), write_size=WRITE_BYTES, closefd=False
        )

    @property
    def digests(self) -> list[bytes]:
        """The BLAKE3 digests of the decompressed chunks."""
        return self._decoded.digests

    def add(self, blocks: Sequence[bytes | memoryview]) -> None:
        """Decompress the next bytes of the body.

        Raises
        ------
        ChunkCorrupt
            They are not zstd.
        BadRequest, OSError
            As the sink that takes the decompressed bytes.
        """
        for block in blocks:
            self._left_bytes -= len(block)
            if self._left_bytes < 0:
                raise BadRequest("the compressed body is longer than its content")
            if self._encoded is not None:
                self._encoded.update(block)
            try:
                self._writer.write(block)
            except zstandard.ZstdError as error:
                raise ChunkCorrupt(f"the body cannot be decompressed: {error}") from error

    def finish(self, sent: bytes | None) -> None:
        """Check that all bytes came, and that the compressed body has the sender's digest.

        Raises
        ------
        ChunkCorrupt, BadRequest
        """
        if self._encoded is not None and self._encoded.digest() != sent:
            raise ChunkCorrupt("the compressed body does not match its Content-Digest")
        self._decoded.finish(None)

    def close(self) -> None:
        """Allow another body to be decoded."""
        _room.release()


class _DecodedBytes:
    """The file that a zstd decoder writes to: passes the bytes on to a sink."""

    def __init__(self, sink: ChunkSink) -> None:
        self._sink = sink

    def write(self, block: bytes) -> int:
        """Pass on decompressed bytes."""
        self._sink.add([block])
        return len(block)
