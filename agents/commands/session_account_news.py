"""Tells people what the receiver says of where a session's exposures are: the line now and then, alarms at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from transfer.wire.accounting import AgentAccount, SessionAccount

log = logging.getLogger("agents")

LINE_EVERY_S = 600.0
FRESH_S = 15.0
"""At the agent's end an answer that is older does not tell how the session ended."""


class SessionAccountNews:
    """Takes in accounts of the session, from one thread.

    Parameters
    ----------
    clock
        Seconds of a clock that is never set.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: SessionAccount | None = None
        self._last_at_s = 0.0
        self._line, self._line_at_s = "", clock()

    def __call__(self, account: SessionAccount) -> None:
        """Log what does not add up since the last account, and the line if it has changed and some time has passed."""
        before = () if self._last is None else self._last.alarms
        self._last, self._last_at_s = account, self._clock()
        for alarm in account.alarms:
            if alarm not in before:
                log.error("the session does not add up: %s", alarm)
        line = account.line()
        if line != self._line and self._clock() - self._line_at_s >= LINE_EVERY_S:
            self._line, self._line_at_s = line, self._clock()
            log.info("exposures: %s", line)

    def fresh(self) -> SessionAccount | None:
        """Return the last account; None: there is none that shows the present."""
        return self._last if self._clock() - self._last_at_s <= FRESH_S else None

    def at_end(self, own: AgentAccount | None) -> str:
        """Return the line for the end of the agent; without an answer, what its journal alone tells."""
        account = self.fresh()
        if account is not None:
            return account.line()
        return "" if own is None else f"{own.line()}; the receiver was not asked what is registered"
