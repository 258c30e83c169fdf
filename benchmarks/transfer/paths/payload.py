"""The files that are carried: `20x90MB`, of bytes that no compression makes smaller."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import NothingToMeasure

_UNITS_BYTES = {"kB": 10**3, "MB": 10**6, "GB": 10**9}
_HINT = "Write COUNTxSIZE, such as 20x90MB, 2000x1MB or 1x8GB."
_BLOCK_BYTES = 1 << 20
_SPARE = 2.5
"""The files, one copy at the far end, and some room."""
TINY = "tiny"


@dataclass(frozen=True, slots=True)
class Payload:
    """Files in one folder, all of one size, with their SHA-256."""

    label: str
    folder: Path
    size_bytes: int
    digests: dict[str, str]

    @property
    def names(self) -> list[str]:
        """The files' names."""
        return list(self.digests)

    @property
    def total_bytes(self) -> int:
        """The size of all files."""
        return self.size_bytes * len(self.digests)


def parse_payload(text: str) -> tuple[int, int]:
    """Return how many files of which size in bytes a text like `20x90MB` means.

    Raises
    ------
    NothingToMeasure
    """
    match = re.fullmatch(r"(\d+)x(\d+(?:\.\d+)?)(kB|MB|GB)", text.strip())
    if not match or not int(match[1]) or not float(match[2]):
        raise NothingToMeasure(f"{text!r} is no number of files", hint=_HINT)
    return int(match[1]), round(float(match[2]) * _UNITS_BYTES[match[3]])


def check_room(folder: Path, total_bytes: int) -> None:
    """Refuse what does not fit.

    Raises
    ------
    NothingToMeasure
    """
    free = shutil.disk_usage(folder).free
    if free < _SPARE * total_bytes:
        raise NothingToMeasure(
            f"{folder} has {free / 1e9:.1f} GB free, and {_SPARE * total_bytes / 1e9:.1f} GB are needed",
            hint="Take fewer or smaller --files, or another folder by --work.",
        )


def make_payload(label: str, folder: Path, count: int, size_bytes: int) -> Payload:
    """Write the files: random bytes, a fresh block for each file, turned a little for every block in it."""
    folder.mkdir(parents=True)
    digests = {}
    for number in range(count):
        path = folder / f"micrograph_{number:05d}.mrc"
        digest, left, block = hashlib.sha256(), size_bytes, os.urandom(min(size_bytes, _BLOCK_BYTES))
        with path.open("wb") as file:
            while left:
                piece = block[:left]
                file.write(piece)
                digest.update(piece)
                left -= len(piece)
                block = block[1:] + block[:1]
        digests[path.name] = digest.hexdigest()
    return Payload(label, folder, size_bytes, digests)
