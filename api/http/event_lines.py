"""Logs what happened at a client's request, one line an event, within limits: no client may fill the log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from api.http.refusals import RefusalCounts
from api.http.request_rates import Allowance

PER_S, AT_ONCE = 0.2, 60
"""How many lines one cause may have, in the long run and after a pause."""

_LEFT_OUT = "lines left out of the log, because there were too many of their cause"


class EventLines:
    """Lines for the log, so many of each cause; those beyond are counted. Any thread may log.

    Parameters
    ----------
    refusals
        Where lines that were left out are counted.
    """

    def __init__(self, refusals: RefusalCounts, clock: Callable[[], float] = time.monotonic) -> None:
        self._refusals = refusals
        self._allowance = Allowance(PER_S, AT_ONCE, clock)
        self._lock = threading.Lock()

    def log(
        self,
        logger: logging.Logger,
        level: int,
        cause: str,
        text: str,
        *values: object,
        exc_info: Exception | None = None,
    ) -> None:
        """Log a line, or count it.

        Parameters
        ----------
        cause
            Whose lines are limited together: a token's id, a kind of error.
        text, *values, exc_info
            As for `logging.Logger.log`.
        """
        with self._lock:
            wait_s = self._allowance.take(cause)
        if wait_s:
            self._refusals.note(_LEFT_OUT)
        else:
            logger.log(level, text, *values, exc_info=exc_info)
