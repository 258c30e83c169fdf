"""Notices that nothing is mounted any more where a disk or a share was: its folder is there, and empty."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from pathlib import Path

from transfer.disk.state import mount_points


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
        What `found` was before.

    Attributes
    ----------
    found
        The folders that are mount points now, or must be again. One that holds files without a mount is none any more.
        Also the mount point above the source, as an absolute path.
    """

    def __init__(self, known: Collection[str] = ()) -> None:
        self._known = frozenset(known)
        self._of_system = mount_points()
        self.found: set[str] = set()

    def check(self, folder: str, real: str, *, is_other_device: bool, is_empty: bool) -> None:
        """Note whether a folder is a mount point.

        Parameters
        ----------
        folder
            Its name in the source; "" is the source.
        real
            Its absolute path without links.
        is_other_device
            Whether it lies on another device than the folder above it. It need not: a part of the same disk can be
            mounted too (`mount --bind`).

        Raises
        ------
        NotMounted
            It was one, or the source lay below one, and is an empty folder now.
        """
        if is_other_device or real in self._of_system:
            self.found.add(folder)
        elif folder in self._known and is_empty:
            self.found.add(folder)
            raise NotMounted
        if not folder:
            self._check_above(real, is_empty=is_empty)

    def _check_above(self, real: str, *, is_empty: bool) -> None:
        """Do the same for the mount point that the source lies below."""
        above = [os.fspath(each) for each in Path(real).parents][:-1]  # the root is always mounted
        gone = [each for each in above if each in self._known and each not in self._of_system]
        if self._of_system and gone and is_empty:
            self.found.update(gone)
            raise NotMounted
        self.found.update([each for each in above if each in self._of_system][:1])
