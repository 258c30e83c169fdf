"""Notices that movies can be read again that the share did not let anybody read, so that they wait no longer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from agents.finding.source_access import SourceAccess
from agents.share_errors import error_of_share

log = logging.getLogger(__name__)

PROBE_S = 1.0


class ShareRecovery:
    """Reads a little of one movie again and again, from when it could not be read until it can be.

    A movie that can be read the first time is left alone: then another part of it has the error, and waiting longer
    each time is right.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, access: SourceAccess, clock: Callable[[], float] = time.monotonic) -> None:
        self._access, self._clock = access, clock
        self._movie: Path | None = None
        self._was_down = False
        self._next_s = 0.0

    def failed(self, movie: Path) -> None:
        """Note a movie that could not be read, or whose alignment ended for a reason that may be the share's."""
        if not self._was_down:
            self._movie = movie

    def has_come(self) -> bool:
        """Return whether what could not be read can be read now; at most one movie a second is tried."""
        now_s = self._clock()
        movie = self._movie
        if movie is None or now_s < self._next_s:
            return False
        self._next_s = now_s + PROBE_S
        try:
            self._access.check_readable(movie)
        except OSError as error:
            self._was_down = error_of_share(error) is not None
            self._movie = movie if self._was_down else None
            return False
        has_come, self._movie, self._was_down = self._was_down, None, False
        if has_come:
            log.info("the share lets movies be read again")
        return has_come
