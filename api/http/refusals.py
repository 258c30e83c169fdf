"""Counts what the receiver refuses, and logs it in one line a minute: an attack must not fill the log."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

log = logging.getLogger(__name__)

LOG_EVERY_S = 60.0
_SLOT_S, _SLOTS = 10, 6  # of the last minute
_MOST_KINDS = 40  # of different refusals in one line
_MOST_ADDRESSES = 10_000


class RefusalCounts:
    """Counts refusals by kind; any thread may count.

    A kind is a short text for the log, such as "no valid token". It never holds what a client has sent.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: dict[int, Counter[str]] = {}  # by tens of seconds
        self._kinds: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._in_all: Counter[str] = Counter()

    def note(self, kind: str, address: str = "") -> None:
        """Count one refusal.

        Parameters
        ----------
        kind
            What was refused, in the words of the log.
        address
            The client's address; empty: not known.
        """
        with self._lock:
            kind = kind if kind in self._in_all or len(self._in_all) < _MOST_KINDS else "others"
            self._kinds[kind] += 1
            self._present_slot()[kind] += 1
            self._in_all[kind] += 1
            if address and (address in self._addresses or len(self._addresses) < _MOST_ADDRESSES):
                self._addresses[address] += 1

    def in_all(self) -> dict[str, int]:
        """Return how many of each kind were counted since the start."""
        with self._lock:
            return dict(self._in_all)

    def in_last_minute(self) -> dict[str, int]:
        """Return how many of each kind were counted within the last minute."""
        with self._lock:
            self._present_slot()
            return dict(sum(self._slots.values(), Counter()))

    def _present_slot(self) -> Counter[str]:
        present = int(self._clock() // _SLOT_S)
        if present not in self._slots:
            kept = {slot: counts for slot, counts in self._slots.items() if slot > present - _SLOTS}
            self._slots = {**kept, present: Counter()}
        return self._slots[present]

    def log_and_reset(self) -> None:
        """Log what was counted since the last call, in one line; nothing if nothing was."""
        with self._lock:
            kinds, addresses = self._kinds, self._addresses
            self._kinds, self._addresses = Counter(), Counter()
        if not kinds:
            return
        counts = ", ".join(f"{count} × {kind}" for kind, count in kinds.most_common())
        most = ", ".join(f"{address} ({count})" for address, count in addresses.most_common(3))
        log.warning("refused in the last minute: %s%s", counts, f"; most from {most}" if most else "")

    async def log_for_ever(self) -> None:
        """Log the counts every minute, and once more when the task is cancelled."""
        try:
            while True:
                await asyncio.sleep(LOG_EVERY_S)
                self.log_and_reset()
        finally:
            self.log_and_reset()
