"""Decodes bodies that travel compressed (Content-Encoding: zstd, RFC 8878) while they arrive, in bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import IO, cast

import zstandard

from api.http.openapi import parameter
from api.intake.chunk_sink import ChunkSink
from transfer.wire.digest import new_hasher
from transfer.wire.errors import BadRequest, ChunkCorrupt, ReceiverBusy, UnsupportedCoding
from transfer.wire.protocol import H_CONTENT_ENCODING, ZSTD

CONTENT_ENCODING = parameter(H_CONTENT_ENCODING, "header", "`zstd` or `identity`; Content-Digest is of what travels")
"""How OpenAPI tells of a body's coding."""

MOST_WINDOW_BYTES = 1 << 21  # what a decoder keeps of what it wrote
MOST_AT_ONCE = 64
WRITE_BYTES = 1 << 19
SLACK_BYTES = 1 << 12  # of frames and blocks, beyond what zstd adds to data that do not shrink

_room = threading.BoundedSemaphore(MOST_AT_ONCE)


def is_encoded(content_encoding: str | None) -> bool:
    """Return whether a body is to be decoded.

    Raises
    ------
    UnsupportedCoding
        By something that is not known here.
    """
    coding = (content_encoding or "identity").strip().lower()
    if coding not in ("identity", ZSTD):
        raise UnsupportedCoding(f"Content-Encoding {coding!r} is not decoded here")
    return coding == ZSTD


class DecodingSink:
    """Takes a compressed body, and hands what it holds on to a sink.

    Parameters
    ----------
    decoded
        Takes the bytes as they are; refuses more than it expects, however much a few bytes may grow to.
    decoded_bytes
        How many there will be.
    algorithm
        Of the digest that the sender computed over the body as it travels; None: the sender gave none.

    Raises
    ------
    ReceiverBusy
        Too many bodies are being decoded.
    """

    def __init__(self, decoded: ChunkSink, decoded_bytes: int, algorithm: str | None) -> None:
        self._decoded = decoded
        self._left_bytes = decoded_bytes + decoded_bytes // 128 + SLACK_BYTES
        self._encoded = None if algorithm is None else new_hasher(algorithm)
        if not _room.acquire(blocking=False):
            raise ReceiverBusy("too many compressed bodies at once")
        decompressor = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW_BYTES)
        self._writer = decompressor.stream_writer(
            cast("IO[bytes]", _DecodedBytes(decoded)), write_size=WRITE_BYTES, closefd=False
        )

    @property
    def digests(self) -> list[bytes]:
        """The BLAKE3 digests of the chunks, decoded."""
        return self._decoded.digests

    def add(self, blocks: Sequence[bytes | memoryview]) -> None:
        """Decode the next bytes of the body.

        Raises
        ------
        ChunkCorrupt
            They are not what was announced.
        BadRequest, OSError
            As of the sink that takes the decoded bytes.
        """
        for block in blocks:
            self._left_bytes -= len(block)
            if self._left_bytes < 0:
                raise BadRequest("the compressed body is longer than what it holds")
            if self._encoded is not None:
                self._encoded.update(block)
            try:
                self._writer.write(block)
            except zstandard.ZstdError as error:
                raise ChunkCorrupt(f"the body cannot be decoded: {error}") from error

    def finish(self, sent: bytes | None) -> None:
        """Check that everything came, as it was sent.

        Raises
        ------
        ChunkCorrupt, BadRequest
        """
        if self._encoded is not None and self._encoded.digest() != sent:
            raise ChunkCorrupt("the compressed body does not match its Content-Digest")
        self._decoded.finish(None)

    def close(self) -> None:
        """Make room for the next one."""
        _room.release()


class _DecodedBytes:
    """The end of a decoder that writes."""

    def __init__(self, sink: ChunkSink) -> None:
        self._sink = sink

    def write(self, block: bytes) -> int:
        """Pass on decoded bytes."""
        self._sink.add([block])
        return len(block)
