"""Which files the user wants as movies, by patterns of their names: `--movies` and `--exclude`."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import lru_cache

EXCLUDED = "excluded by --exclude"
NOT_CHOSEN = "its name fits no pattern of --movies"


@dataclass(frozen=True, slots=True)
class NamePatterns:
    """Patterns such as `*_frames.tif`: one without a slash is for a file's name, one with a slash for its whole path.

    The path is relative to the source. Upper and lower case are the same; `*` stands for slashes too.
    """

    movies: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    def why_not(self, name: str, folder: str) -> str:
        """Return why a file is not wanted as a movie; empty if it is."""
        path = f"{folder}/{name}" if folder else name
        if any(_fits(pattern, name, path) for pattern in self.excluded):
            return EXCLUDED
        if self.movies and not any(_fits(pattern, name, path) for pattern in self.movies):
            return NOT_CHOSEN
        return ""


def _fits(pattern: str, name: str, path: str) -> bool:
    return _compiled(pattern).match(path if "/" in pattern else name) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern.removeprefix("./")), re.IGNORECASE)
