"""Finds what other users of the machine can read of a receiver, and says how to end that."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

_BESIDE_SQLITE = ("", "-journal", "-wal", "-shm")


def readable_by_others(data: Path, sqlite: Path | None) -> Iterator[str]:
    """Yield a warning, with a command, for each thing that users can read who should not.

    The operator may give the group of the data folder access to its files; the database is for the receiver's user
    alone.

    Parameters
    ----------
    data
        The data folder.
    sqlite
        The database; None: on a server.
    """
    if _mode(data) & 0o007 and _is_reached(data, 0o001):
        yield _warning("the data folder", [data], "every user of this machine", "o-rwx")
    files = [sqlite.with_name(sqlite.name + end) for end in _BESIDE_SQLITE] if sqlite else []
    if open_files := [file for file in files if _is_readable(file)]:
        yield _warning("the database", open_files, "other users of this machine", "go-rwx")


def readable_secrets(files: Sequence[Path]) -> Iterator[str]:
    """Yield a warning if others can read a private key, or a configuration file with a password."""
    if open_files := [file for file in files if _is_readable(file)]:
        yield _warning("a secret", open_files, "other users of this machine", "go-rwx")


def _warning(what: str, paths: Sequence[Path], who: str, change: str) -> str:
    names = " ".join(shlex.quote(str(path)) for path in paths)
    return f"{what} can be read by {who}: {names}. To end that: chmod {change} {names}"


def _is_readable(file: Path) -> bool:
    """Return whether the group or all others can read a file."""
    mode = _mode(file)
    by_group = mode & 0o040 and _is_reached(file, 0o011)
    return bool(by_group or (mode & 0o004 and _is_reached(file, 0o001)))


def _is_reached(path: Path, bits: int) -> bool:
    """Return whether no folder above it keeps others out."""
    return all(_mode(folder) & bits for folder in path.absolute().parents)


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0
