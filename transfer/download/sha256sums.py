"""Writes a list of SHA-256 sums that `sha256sum --check` reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from transfer.disk.files import make_file
from transfer.wire.errors import TargetUnwritable

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})


def sha256sums(files: Iterable[tuple[str, str]]) -> bytes:
    """Return the lines for files: the SHA-256 of each, in hex, and its name as it is written on a command line."""
    return b"".join(_line(whole, name) for whole, name in files)


def _line(whole: str, name: str) -> bytes:
    escaped = name.translate(_ESCAPES)
    mark = "\\" if escaped != name else ""  # GNU: the name in this line is escaped
    return f"{mark}{whole}  {escaped}\n".encode("utf-8", "surrogateescape")


def write_sha256sums(target: Path, files: Iterable[tuple[str, str]]) -> None:
    """Write the lines for files into a file, which is made or replaced in one step.

    Raises
    ------
    TargetUnwritable
    """
    content = sha256sums(files)

    def write(path: Path) -> None:
        path.write_bytes(content)

    try:
        make_file(target.absolute(), write)
    except OSError as error:
        raise TargetUnwritable(
            f"the list of SHA-256 sums cannot be written to {target}: {error.strerror}",
            hint="Give --sha256sums a file in a folder that you may write.",
        ) from error
