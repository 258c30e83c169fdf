"""What identifies a movie file between two looks at it: size, time stamps, device and inode."""

from __future__ import annotations

import os
from typing import NamedTuple

_SIGNED_64 = 0x7FFFFFFFFFFFFFFF
"""SQLite holds signed 64-bit integers; devices and inodes of some file systems are unsigned."""


def _in_64_bits(time_ns: int) -> int:
    """Return a time as 64 bits hold it: 1677 to 2262. Others, such as 1601 for a time that was never set, wrap."""
    return (time_ns + _SIGNED_64 + 1) % (1 << 64) - _SIGNED_64 - 1


class FileIdentity(NamedTuple):
    """What `stat` said about a file when the agent looked at it.

    Attributes
    ----------
    size_bytes
        Size of the file.
    mtime_ns
        Time of the last modification, nanoseconds since 1970 by the clock of the machine that wrote it. It tells two
        times apart, also those that no 64 bits hold.
    device, inode
        The file system's own numbers, without their highest bit; they change when a share is mounted again.
    ctime_ns
        Time of the last change of content or attributes, nanoseconds since 1970; no program can set it. None: not
        noted, by an agent of an older version.
    """

    size_bytes: int
    mtime_ns: int
    device: int
    inode: int
    ctime_ns: int | None = None

    @classmethod
    def of(cls, status: os.stat_result) -> FileIdentity:
        """Return the identity that a `stat` result describes."""
        return cls(
            status.st_size,
            _in_64_bits(status.st_mtime_ns),
            status.st_dev & _SIGNED_64,
            status.st_ino & _SIGNED_64,
            _in_64_bits(status.st_ctime_ns),
        )

    def same_content(self, other: FileIdentity) -> bool:
        """Return whether size and time stamp are equal; device, inode and ctime are not compared."""
        return self[:2] == other[:2]

    def is_untouched(self, other: FileIdentity) -> bool:
        """Return whether everything that is known of both is equal: then nothing happened to the file."""
        both_known = self.ctime_ns is not None and other.ctime_ns is not None
        return self[:4] == other[:4] and (not both_known or self.ctime_ns == other.ctime_ns)
