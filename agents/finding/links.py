"""Where the links of a source lead: inside, where their target is found at its own place, or outside, or nowhere."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class Why(StrEnum):
    """Why something is skipped that a person should know by name."""

    OUTSIDE = "a link whose target lies outside of the source"
    DANGLING = "a link whose target does not exist"
    CIRCULAR = "a link that leads back to itself"
    LOOP = "a folder that contains itself"
    NOT_A_FILE = "neither a file nor a folder: a named pipe, a socket or a device"


ALIAS = "a link to what is found at its own place"
"""Why most links are skipped: nothing is missed, so nobody needs their names."""


class SourceLink(NamedTuple):
    """A symbolic link in a folder of the source.

    Attributes
    ----------
    path
        Path relative to the source, as Python holds it.
    inode
        Another one means another link of the same name.
    is_movie
        Whether it has a movie's name; otherwise only a folder as its target matters.
    why_not
        Why it is no movie, by its name.
    """

    path: str
    inode: int
    is_movie: bool
    why_not: str


@dataclass(frozen=True, slots=True)
class LinkTarget:
    """What a link leads to: a folder, a file, or nothing that can be followed (`broken` says why)."""

    real: str = ""
    is_folder: bool = False
    identity: tuple[int, int] = (0, 0)
    broken: Why | None = None


class SourceLinks:
    """Resolves links. What a link to a file leads to is kept in mind, until the link is another one."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[int, LinkTarget]] = {}
        self._seen: dict[str, tuple[int, LinkTarget]] = {}

    def begin(self) -> None:
        """Begin a walk: links that the last one did not see are forgotten."""
        self._files, self._seen = self._seen, {}

    def target(self, full_path: Path, link: SourceLink) -> LinkTarget:
        """Return what a link leads to.

        Raises
        ------
        OSError
            That cannot be found out now.
        """
        inode, known = self._files.get(link.path, (-1, None))
        if known is None or inode != link.inode:
            known = _resolved(full_path)
        if not known.is_folder and known.broken is None:
            self._seen[link.path] = (link.inode, known)
        return known


def _resolved(path: Path) -> LinkTarget:
    try:
        status = path.stat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return LinkTarget(broken=Why.DANGLING)
        if error.errno == errno.ELOOP:
            return LinkTarget(broken=Why.CIRCULAR)
        raise
    return LinkTarget(os.path.realpath(path), stat.S_ISDIR(status.st_mode), (status.st_dev, status.st_ino))


def is_inside(real: str, folder: str) -> bool:
    """Return whether a real path is that folder, or lies below it."""
    return real == folder or real.startswith(folder.rstrip("/") + "/")
