"""Decides when the source is scanned, and notices that a share that failed works again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from agents.finding.discovery import Discovery
from agents.finding.source_access import SourceAccess
from agents.share.recovery import ShareRecovery

_SHORTEST_PAUSE_S = 0.5
_LEAST_REST = 10
"""A scan is followed by a pause of so many times its length, at most `scan_s`: most of the time nothing is scanned."""


class Scanning:
    """Scans at regular times, and earlier after an event. One thread uses it; `wake` and `recovery.failed` take any.

    Parameters
    ----------
    scan_s
        Seconds between two scans.
    changed
        Called when a scan changed the journal.
    share_is_back
        Called when the share works again, so that what waited for it need not wait longer.

    Attributes
    ----------
    wake
        Set by whoever knows of something new in the source.
    recovery
        Told which movies could not be read.
    """

    def __init__(
        self,
        discovery: Discovery,
        access: SourceAccess,
        scan_s: float,
        changed: Callable[[], None],
        share_is_back: Callable[[], None],
    ) -> None:
        self._discovery, self._scan_s, self._changed, self._share_is_back = discovery, scan_s, changed, share_is_back
        self.wake = threading.Event()
        self.recovery = ShareRecovery(access)
        self._next_s = self._earliest_s = 0.0

    def scan_if_due(self) -> None:
        """Scan if it is time for that."""
        now_s = time.monotonic()
        if now_s >= self._next_s or (self.wake.is_set() and now_s >= self._earliest_s):
            self._scan(now_s)
        if self.recovery.has_come():
            self._note_recovery()

    def _scan(self, begin_s: float) -> None:
        self.wake.clear()
        was_missing = bool(self._discovery.source_missing)
        if self._discovery.scan_once():
            self._changed()
        if (movie := self._discovery.unreadable_movie) is not None:
            self.recovery.failed(movie)
        end_s = time.monotonic()
        rest_s = _LEAST_REST * (end_s - begin_s)
        # a movie that grows wakes the scan all the time
        self._earliest_s = end_s + max(_SHORTEST_PAUSE_S, rest_s)
        self._next_s = end_s + max(self._discovery.pause_s(self._scan_s), min(rest_s, self._scan_s))
        if was_missing and not self._discovery.source_missing:
            self._note_recovery()

    def _note_recovery(self) -> None:
        self._discovery.look_again()
        self._next_s = 0.0
        self._share_is_back()
