"""Decides whether a movie is finished: it has not changed for the settle time, and its structure is complete.

The settle time is measured with this machine's monotonic clock. A time stamp is compared with an earlier one of the
same file and never with the present time, because the clocks of microscopes are often wrong.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from agents.boundary import contained
from agents.journal.file_identity import FileIdentity
from agents.share_errors import error_of_share

log = logging.getLogger(__name__)


class MovieStatus(Enum):
    """Whether a movie is finished."""

    WAITING = "waiting"
    FINISHED = "finished"
    BROKEN = "broken"  # unchanged for the give-up time, and not complete


@dataclass(slots=True)
class _Seen:
    identity: FileIdentity
    since_s: float
    looked_inside_s: float = -1.0
    missing: str = ""
    is_confirmed: bool = False
    """Whether the last two looks found the same."""


class Settling:
    """Remembers the size and time stamp of each movie, and decides when it is finished.

    Parameters
    ----------
    settle_s, give_up_s
        How long a movie must not change until it is finished, or broken if its structure is not complete; seconds.
    missing_structure
        Returns what is missing in a movie's structure; None when it is complete.
    clock
        Returns the time of a monotonic clock, in seconds.

    Attributes
    ----------
    unreadable
        Movies that the share does not let anybody read now, and why. They wait, however long that takes.
    """

    def __init__(
        self,
        *,
        settle_s: float,
        give_up_s: float,
        missing_structure: Callable[[Path], str | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settle_s, self._give_up_s = settle_s, max(give_up_s, settle_s)
        self._missing_structure, self._clock = missing_structure, clock
        self._seen: dict[str, _Seen] = {}
        self.unreadable: dict[str, str] = {}

    def observe(self, movie: str, path: Path, identity: FileIdentity) -> tuple[MovieStatus, str]:
        """Note the movie's identity now; return its status, and what its structure lacks if that is known."""
        now = self._clock()
        seen = self._seen.get(movie)
        if seen is None or seen.identity != identity:
            self._seen[movie] = _Seen(identity, now)
            return MovieStatus.WAITING, ""
        unchanged_s = now - seen.since_s
        if unchanged_s < self._settle_s:
            return MovieStatus.WAITING, ""
        if seen.looked_inside_s < 0 or now - seen.looked_inside_s >= self._settle_s:
            seen.looked_inside_s = now
            was_unreadable = movie in self.unreadable
            before, seen.missing = seen.missing, self._look_inside(movie, path)
            seen.is_confirmed = seen.missing == before
            if was_unreadable or movie in self.unreadable:
                seen.since_s = now - self._settle_s  # the give-up time begins when the share lets it be read
                unchanged_s = self._settle_s
        if not seen.missing:
            return MovieStatus.FINISHED, ""
        is_over = unchanged_s >= self._give_up_s and seen.is_confirmed and movie not in self.unreadable
        return (MovieStatus.BROKEN if is_over else MovieStatus.WAITING), seen.missing

    def _look_inside(self, movie: str, path: Path) -> str:
        before = self.unreadable.pop(movie, None)

        def failed(error: Exception) -> str:
            of_share = (
                error if isinstance(error, FileNotFoundError) else error_of_share(error)
            )  # the walk has just seen it
            if of_share is None:
                return _unreadable(error)
            why = of_share.strerror or str(of_share)
            self.unreadable[movie] = why
            if before is None:
                log.warning("%s cannot be read now: %s; it waits until it can be read", movie, why)
            return f"it cannot be read now: {why}"

        return contained(lambda: self._missing_structure(path) or "", failed)

    def look_again(self) -> None:
        """Let the next scan look inside movies that could not be read, because the share lets them be read again."""
        for movie in self.unreadable:
            if movie in self._seen:
                self._seen[movie].looked_inside_s = -1.0

    def forget(self, movie: str) -> None:
        """Forget what was noted about a movie."""
        self._seen.pop(movie, None)
        self.unreadable.pop(movie, None)

    def next_look_s(self) -> float | None:
        """Return in how many seconds the next movie can be finished at the earliest; None if none is noted."""
        now = self._clock()
        times = [max(seen.since_s, seen.looked_inside_s) + self._settle_s - now for seen in self._seen.values()]
        return max(0.0, min(times)) if times else None


def _unreadable(error: Exception) -> str:
    """Return why the structure of a movie could not be read; the error affects only this movie."""
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror or error}"
    log.warning("the structure of a movie could not be read", exc_info=error)
    return f"its structure cannot be read: {type(error).__name__}: {error}"
