"""Notices gain references that arrive after their movies, so that these are aligned again with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from uuid import UUID

from agents.boundary import contained
from agents.journal.movie_names import movie_name, movie_path

_REMEMBERED_S = 600.0


class LateGains:
    """Remembers which gain references are new.

    Parameters
    ----------
    gain
        Returns the gain reference of a movie.
    settle_s
        A gain reference counts once it has been there for so long: it may still be being copied before.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        source: Path,
        gain: Callable[[Path], Path | None],
        settle_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._gain, self._settle_s, self._clock = source, gain, settle_s, clock
        self._known: set[str] = set()
        self._new: dict[str, float] = {}

    def take_in(self, gains: set[str]) -> None:
        """Take in the gain references (paths relative to the source) of a scan.

        Those of the first scan count as new too: they may have come while no agent ran.
        """
        now_s = self._clock()
        longest_s = self._settle_s + _REMEMBERED_S
        self._new = {path: since_s for path, since_s in self._new.items() if now_s - since_s < longest_s}
        for path in gains - self._known:
            self._new[path] = now_s
        self._known = gains

    def came_for(self, candidates: Callable[[], Iterable[tuple[UUID, str]]]) -> Iterator[UUID]:
        """Yield which exposures have a gain reference now.

        Parameters
        ----------
        candidates
            Returns id and movie of exposures that were aligned without one, or that are held.
        """
        now_s = self._clock()
        settled = [path for path, since_s in self._new.items() if now_s - since_s >= self._settle_s]
        folders = {str(PurePosixPath(path).parent) for path in settled}
        if not folders:
            return
        for exposure_id, movie in candidates():
            above = {str(folder) for folder in PurePosixPath(movie).parents}
            if above & folders and self._gain_of(movie) in settled:
                yield exposure_id

    def _gain_of(self, movie: str) -> str:
        """Return the gain reference that the layout finds for a movie, relative to the source; "" if there is none."""
        found = contained(lambda: self._gain(movie_path(self._source, movie)), lambda _error: None)
        is_below = found is not None and found.is_relative_to(self._source)
        return movie_name(found.relative_to(self._source).as_posix()) if found is not None and is_below else ""
