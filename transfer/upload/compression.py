"""Lossless compression on the way (zstd, RFC 8878), where a sample of the file says that it pays.

Raw counts and text shrink to a fraction; micrographs in float16, compressed TIFF and EER are noise. A body is encoded
in the pass that hashes it; the receiver decodes it while it arrives, so that what lies on both disks, and the file's
identity, are the bytes as they are.
"""

from __future__ import annotations

import zstandard

from transfer.source import Source
from transfer.wire.digest import new_hasher

LEVEL = 1  # the link is the bottleneck, not the ratio
SAMPLES, SAMPLE_BYTES = 8, 64 << 10
LEAST_FILE_BYTES = 64 << 10
PAYS_BELOW = 0.8  # compressed size by size


def shrinks(source: Source) -> bool:
    """Return whether samples from all over a file become small enough that compression pays on a slow link.

    Raises
    ------
    SourceChanged, SourceUnreadable
    """
    size_bytes = source.size_bytes
    if size_bytes < LEAST_FILE_BYTES:
        return False
    piece_bytes = min(SAMPLE_BYTES, size_bytes)
    buffer, compressor = memoryview(bytearray(piece_bytes)), zstandard.ZstdCompressor(level=LEVEL)
    sampled = compressed = 0
    for number in range(SAMPLES):
        source.read_into(buffer, number * (size_bytes - piece_bytes) // (SAMPLES - 1))
        sampled += piece_bytes
        compressed += len(compressor.compress(buffer))
    return compressed <= PAYS_BELOW * sampled


def encode(source: Source, part: range, buffer: memoryview) -> tuple[bytes, bytes]:
    """Return a part of a file compressed, and the BLAKE3 digest of the part as it is, in one pass through the buffer.

    Raises
    ------
    SourceChanged, SourceUnreadable
    """
    hasher = new_hasher("blake3")
    compressor = zstandard.ZstdCompressor(level=LEVEL).compressobj(size=len(part))
    encoded = []
    for offset in range(part.start, part.stop, len(buffer)):
        piece = buffer[: min(len(buffer), part.stop - offset)]
        source.read_into(piece, offset)
        hasher.update(piece)
        encoded.append(compressor.compress(piece))
    encoded.append(compressor.flush())
    return b"".join(encoded), hasher.digest()
