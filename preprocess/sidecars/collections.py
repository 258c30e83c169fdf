"""The mdoc that SerialEM writes for all frames of a session (its command OpenFrameMdoc), under any name."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from preprocess.sidecars.tilt_series import names_movie

_MOVIES = (".tif", ".tiff", ".mrc", ".mrcs", ".eer")
_MOST = 20
"""A folder has one such file, or a few."""


def collections_with(movie: Path) -> list[Path]:
    """Return the mdocs of many movies in a movie's folder, none of which has the name of a movie, that name this one.

    Raises
    ------
    OSError
        That cannot be found out now.
    """
    if movie.name.startswith("FoilHole_"):
        return []
    folder = movie.parent
    try:
        names = _mdocs_of_no_movie(folder, folder.stat().st_mtime_ns)
    except FileNotFoundError:
        return []
    return [folder / name for name in names if names_movie(folder / name, movie)]


@lru_cache(maxsize=4)
def _mdocs_of_no_movie(folder: Path, _mtime_ns: int) -> tuple[str, ...]:
    """Return the mdocs in a folder, as it is since that time, that are not beside a movie or image of their name."""
    with os.scandir(folder) as entries:
        names = {entry.name for entry in entries}
    mdocs = (name for name in names if name.lower().endswith(".mdoc"))
    return tuple(sorted(name for name in mdocs if not _has_movie(name[: -len(".mdoc")], names)))[:_MOST]


def _has_movie(stem: str, names: set[str]) -> bool:
    return stem in names or any(stem + suffix in names for suffix in _MOVIES)
