"""Notices sidecars that arrive after their movie, so that an exposure that was held for lack of one is tried again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from agents.journal.movie_names import movie_name, movie_path

_REMEMBERED_S = 600.0


class LateSidecars:
    """Remembers which sidecars are new.

    Parameters
    ----------
    sidecars
        Returns the sidecars of a movie.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        source: Path,
        sidecars: Callable[[Path], Iterable[Path]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._sidecars, self._clock = source, sidecars, clock
        self._known: set[str] = set()
        self._new: dict[str, float] = {}
        self._is_first = True

    def take_in(self, sidecars: set[str]) -> None:
        """Take in the sidecars (paths relative to the source) of a scan."""
        now = self._clock()
        self._new = {path: since for path, since in self._new.items() if now - since < _REMEMBERED_S}
        for path in sidecars - self._known:
            self._new[path] = now
        self._known = sidecars

    def came_for(self, movie: str) -> bool:
        """Return whether a sidecar of this movie is new; it is not new any more after that."""
        if not self._new:
            return False
        beside = self._sidecars(movie_path(self._source, movie))
        found = {movie_name(path.relative_to(self._source).as_posix()) for path in beside}
        new = found & self._new.keys()
        for path in new:
            del self._new[path]
        return bool(new)

    def end_of_scan(self) -> None:
        """After the first scan, forget the sidecars found so far: each movie is aligned with them anyway."""
        if self._is_first:
            self._is_first = False
            self._new.clear()
