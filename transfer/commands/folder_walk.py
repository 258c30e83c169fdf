"""Finds the files below a folder. A link is followed only to what lies in the folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transfer.source import FileNumber, file_number
from transfer.wire.errors import SourceUnreadable


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file below a folder.

    Attributes
    ----------
    path
        Where it was found, perhaps under the name of a link.
    number
        Which file it was when it was found.
    """

    path: Path
    number: FileNumber


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something below a folder that is not sent, and why."""

    path: Path
    reason: str


def walk(top: Path) -> Iterator[FoundFile | LeftOut]:
    """Yield what lies below a folder, by name; hidden files and folders are passed over.

    A file or a folder that a link in the folder leads to is found under the link's name too.

    Parameters
    ----------
    top
        The folder, with all links resolved.

    Raises
    ------
    SourceUnreadable
        A folder cannot be read: its files would be missing without a word.
    """
    return _walk(top, top, ())


def _walk(top: Path, folder: Path, above: tuple[FileNumber, ...]) -> Iterator[FoundFile | LeftOut]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        above = (*above, file_number(folder.stat()))
    except OSError as error:
        raise SourceUnreadable(
            f"the folder {folder} cannot be read: {error.strerror}; nothing was sent",
            hint="Check its permissions, or name the folders and files to send one by one.",
        ) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = folder / entry.name
        try:
            if entry.is_symlink() and not path.resolve(strict=True).is_relative_to(top):
                yield LeftOut(path, f"it is a link to {path.readlink()}, which lies outside of {top}")
                continue
            status = entry.stat()
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
            yield LeftOut(path, why_not_found(path, error))
            continue
        if stat.S_ISREG(status.st_mode):
            yield FoundFile(path, file_number(status))
        elif not stat.S_ISDIR(status.st_mode):
            yield LeftOut(path, "it is a device, a socket or a pipe, not a file")
        elif file_number(status) in above:
            yield LeftOut(path, f"it is a link to {path.readlink()}, the folder that it lies in")
        else:
            yield from _walk(top, path, above)


def why_not_found(path: Path, error: OSError | RuntimeError) -> str:
    """Return why something that has a name cannot be found, with what a link leads to."""
    reason = (error.strerror if isinstance(error, OSError) else None) or "too many links"
    if not path.is_symlink():
        return f"it cannot be read: {reason}"
    return f"it is a link to {path.readlink()}, which cannot be found: {reason}"
