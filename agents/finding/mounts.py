"""Notices that nothing is mounted any more where a disk or a share was: its folder is there, and empty."""

from __future__ import annotations

import errno
from collections.abc import Collection


class NotMounted(OSError):
    """The folder is empty, and what was mounted there before is not."""

    def __init__(self) -> None:
        super().__init__(
            errno.ENOTCONN, "it is empty, and nothing is mounted there any more; mount it again, or put a file there"
        )


class MountPoints:
    """The mount points that one walk finds, compared with those of earlier walks.

    Parameters
    ----------
    known
        The folders that were mount points before.

    Attributes
    ----------
    found
        The folders that are mount points now, or must be again. One that holds files without a mount is none any more.
    """

    def __init__(self, known: Collection[str] = ()) -> None:
        self._known = frozenset(known)
        self.found: set[str] = set()

    def check(self, folder: str, *, is_mounted: bool, is_empty: bool) -> None:
        """Note whether a folder is a mount point.

        Raises
        ------
        NotMounted
            It was one, and is an empty folder now.
        """
        if is_mounted:
            self.found.add(folder)
        elif folder in self._known and is_empty:
            self.found.add(folder)
            raise NotMounted
