"""The digest of a gain reference's file: it says which one a micrograph was made with."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from blake3 import blake3

from preprocess.input_files import open_regular

_BLOCK_BYTES = 4 << 20


def gain_digest(path: Path) -> str:
    """Return the BLAKE3 digest of a whole file in hex, as `b3sum` prints it; a file that has not changed is read once.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    seen = path.stat()
    return _digest(path, seen.st_mtime_ns, seen.st_size, seen.st_ino)


@lru_cache(maxsize=8)
def _digest(path: Path, _mtime_ns: int, _size_bytes: int, _inode: int) -> str:
    digest = blake3(max_threads=blake3.AUTO)
    with open_regular(path) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
