"""Computes the digests of a file: the root digest, which is its identity (see `transfer.wire.digest`), and SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

from transfer.disk.files import read_at
from transfer.wire.chunks import split
from transfer.wire.digest import new_hasher, root_digest

READ_BYTES = 1 << 20


def file_digest(fd: int, size_bytes: int) -> str:
    """Return the root digest, in hex, of the first `size_bytes` of an open file.

    Raises
    ------
    EOFError
        The file is shorter than `size_bytes`.
    """
    digests = []
    for chunk in split(size_bytes):
        hasher, offset = new_hasher("blake3"), chunk.start
        while offset < chunk.stop:
            block = read_at(fd, min(READ_BYTES, chunk.stop - offset), offset)
            if not block:
                raise EOFError(f"the file ends at byte {offset}; {size_bytes} were expected")
            hasher.update(block)
            offset += len(block)
        digests.append(hasher.digest())
    return root_digest(digests)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex.

    Raises
    ------
    OSError
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
