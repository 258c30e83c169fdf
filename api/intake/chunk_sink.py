"""Hashes the chunks of a body and writes them into the part file, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

from transfer.disk.files import write_at
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.digest import CHUNKED, Hasher, digest_by_chunks, new_hasher
from transfer.wire.errors import BadRequest, ChunkCorrupt


class ChunkSink:
    """Takes consecutive whole chunks: hashes each, and writes it at its offset.

    Parameters
    ----------
    fd
        The part file; None: hash only.
    span
        The bytes of the file that will come. The first is the first byte of a chunk.
    algorithm
        Of the digest that the sender computed over the whole span (see `transfer.wire.digest`); None: it gave none.
    """

    def __init__(self, fd: int | None, span: range, algorithm: str | None) -> None:
        self._fd = fd
        self._span = span
        self._offset = span.start
        self._algorithm = algorithm
        # Where the chunks' digests give the digest of the whole, the bytes are not hashed twice.
        self._whole = None if algorithm is None or self._follows_from_chunks(algorithm) else new_hasher(algorithm)
        self._chunk: Hasher = new_hasher("blake3")
        self.digests: list[bytes] = []

    def _follows_from_chunks(self, algorithm: str) -> bool:
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
                write_at(self._fd, block, self._offset)
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
        """Check that all bytes came, and that they have the sender's digest.

        Raises
        ------
        BadRequest
            Fewer bytes than announced.
        ChunkCorrupt
            The digest differs.
        """
        if self._offset != self._span.stop:
            raise BadRequest(f"the body has {self._offset - self._span.start} bytes, its range {len(self._span)}")
        if self._algorithm is None:
            return
        arrived = self._whole.digest() if self._whole else digest_by_chunks(self._algorithm, self.digests)
        if arrived != sent:
            raise ChunkCorrupt(f"bytes {self._span.start} to {self._span.stop} do not match their Content-Digest")

    def close(self) -> None:
        """Do nothing: the file belongs to the caller."""
