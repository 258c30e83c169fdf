"""File names that all programs can read. Spaces break RELION; brackets break the shell commands that it runs."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_UNSAFE_CHARACTER = re.compile(r"[^A-Za-z0-9_.+-]")


def reader_name(name: str) -> str:
    """Return the file name that readers see: `name` itself if it is safe, otherwise a safe and unique one."""
    if _SAFE.fullmatch(name):
        return name
    path = PurePosixPath(_UNSAFE_CHARACTER.sub("_", name))
    distinction = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{path.stem.lstrip('.+-') or '_'}-{distinction}{path.suffix}"
