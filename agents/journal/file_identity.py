"""What identifies a movie file between two looks at it: size, time stamp, device and inode."""

from __future__ import annotations

import os
from typing import NamedTuple


class FileIdentity(NamedTuple):
    """What `stat` said about a file when the agent looked at it.

    Attributes
    ----------
    size_bytes
        Size of the file.
    mtime_ns
        Time of the last modification, nanoseconds since 1970 by the clock of the machine that wrote it.
    device, inode
        The file system's own numbers; they change when a share is mounted again.
    """

    size_bytes: int
    mtime_ns: int
    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileIdentity:
        """Return the identity that a `stat` result describes."""
        return cls(status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino)

    def same_content(self, other: FileIdentity) -> bool:
        """Return whether size and time stamp are equal; device and inode are not compared."""
        return self[:2] == other[:2]
