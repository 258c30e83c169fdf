"""Remembers what does not add up in which session, and logs it once, at level ERROR."""

from __future__ import annotations

import logging
import threading
import time

from transfer.wire.accounting import SessionAccount

log = logging.getLogger(__name__)

ASK_EVERY_S = 30.0
MOST_SESSIONS = 1000


class AccountAlarms:
    """The alarms of the sessions that one process was asked about; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alarms: dict[str, tuple[str, ...]] = {}
        self._taken_at_s: dict[str, float] = {}

    def is_due(self, session: str) -> bool:
        """Return whether a session's account was not taken for a time."""
        with self._lock:
            return time.monotonic() - self._taken_at_s.get(session, -ASK_EVERY_S) >= ASK_EVERY_S

    def take(self, session: str, account: SessionAccount) -> None:
        """Take in where a session's exposures are; what does not add up since now is logged."""
        with self._lock:
            before = self._alarms.pop(session, ())
            if account.alarms:
                self._alarms[session] = account.alarms
            self._taken_at_s.pop(session, None)
            self._taken_at_s[session] = time.monotonic()
            if len(self._taken_at_s) > MOST_SESSIONS:
                oldest = next(iter(self._taken_at_s))
                del self._taken_at_s[oldest]
                self._alarms.pop(oldest, None)
        for alarm in account.alarms:
            if alarm not in before:
                log.error("session %s does not add up (%s): %s", session, account.line(), alarm)
        if before and not account.alarms:
            log.info("session %s adds up again: %s", session, account.line())

    def by_session(self) -> dict[str, tuple[str, ...]]:
        """Return what does not add up, as it was seen last."""
        with self._lock:
            return dict(self._alarms)
