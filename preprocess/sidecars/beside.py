"""Finds a file beside a movie by its name."""

from __future__ import annotations

import errno
from pathlib import Path


def file_beside(movie: Path, name: str) -> Path | None:
    """Return the file of that name in the movie's folder; None if there is none, or if no file can have that name.

    Raises
    ------
    OSError
        That cannot be found out now.
    """
    if name in ("", ".", "..") or "/" in name:
        return None
    path = movie.with_name(name)
    try:
        return path if path.is_file() else None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # the movie's own name is nearly as long as a name can be
            return None
        raise
