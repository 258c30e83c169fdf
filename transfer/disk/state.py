"""What state a disk is in: full, read only, mounted where."""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)
_ESCAPED_BYTE = re.compile(rb"\\([0-7]{3})")


def is_full(error: OSError) -> bool:
    """Return whether a disk or a quota is full."""
    return error.errno in _FULL


def why_not_writable(folder: Path, least_bytes: int) -> str:
    """Return why nothing can be written to a folder's disk now, for people; empty: it is not known to fail.

    Parameters
    ----------
    least_bytes
        A disk with less space than this is full.
    """
    if not hasattr(os, "statvfs"):
        return ""
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        return f"{folder} cannot be read: {error.strerror}"
    if disk.f_flag & os.ST_RDONLY:
        return "its disk is mounted read only"
    if disk.f_bavail * disk.f_frsize < least_bytes:
        return "its disk is full; the agent waits for free space"
    if disk.f_files and not disk.f_favail:
        return "its disk is full: it can hold no more files"
    return ""


def mount_points() -> frozenset[str]:
    """Return the absolute paths where something is mounted; nothing where the system does not list them."""
    with suppress(OSError):
        fields = [line.split(b" ") for line in Path("/proc/self/mountinfo").read_bytes().splitlines()]
        return frozenset(os.fsdecode(_ESCAPED_BYTE.sub(_unescaped_byte, each[4])) for each in fields if len(each) > 4)
    return frozenset()


def _unescaped_byte(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 8) & 0xFF])
