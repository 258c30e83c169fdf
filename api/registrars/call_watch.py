"""Notices a call that does not return: a disk, a share or a program that a registrar waits for hangs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from api.database.tables import now

LONGEST_CALL_S = 240.0
"""Longer than a registrar waits for Scipion's answer."""


class CallWatch:
    """Watches the calls of one thread, one after the other; other threads may ask.

    Parameters
    ----------
    clock
        Seconds of a clock that is never set.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._present: tuple[str, float] | None = None

    @contextmanager
    def call(self, what: str) -> Iterator[None]:
        """Watch what is done in the block; `what` describes it to people."""
        self._present = what, self._clock()
        try:
            yield
        finally:
            self._present = None

    def hang(self) -> str:
        """Return what has not returned for `LONGEST_CALL_S`, and since when; empty: nothing."""
        present = self._present
        if present is None or (lasts_s := self._clock() - present[1]) < LONGEST_CALL_S:
            return ""
        since = now() - timedelta(seconds=lasts_s)
        return (
            f"it has not come back from {present[0]} since {since:%Y-%m-%d %H:%M} UTC: the disk or a program that it"
            " waits for does not answer; see to that, or restart the receiver"
        )
