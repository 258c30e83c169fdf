"""What the flags for opening files are where a system has them, and the error where it lacks a call."""

from __future__ import annotations

import errno
import os

BINARY = getattr(os, "O_BINARY", 0)  # Windows opens descriptors as text without it
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
NO_BLOCK = getattr(os, "O_NONBLOCK", 0)
FOLDER = getattr(os, "O_DIRECTORY", None)


def unsupported(what: str) -> OSError:
    """Return the error for a call that this system lacks."""
    return OSError(errno.ENOTSUP, f"this system cannot {what}")
