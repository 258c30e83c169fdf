"""Measures how fast bytes leave this machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class SendRate:
    """How many bytes were sent, in all and per second over the last `WINDOW_S`.

    Not thread-safe: the caller holds a lock.

    Parameters
    ----------
    clock
        Returns the time in s.

    Attributes
    ----------
    total_bytes
        All bytes that were added so far.
    """

    WINDOW_S = 1.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self.total_bytes = 0
        self._clock = clock
        self._sent: deque[tuple[float, int]] = deque()

    def add(self, sent_bytes: int) -> None:
        """Add bytes that were sent now."""
        self.total_bytes += sent_bytes
        self._sent.append((self._clock(), sent_bytes))
        self._forget_old()

    def bytes_per_s(self) -> float:
        """Return the rate over the window; time before the first byte counts as time without bytes."""
        self._forget_old()
        return sum(count for _, count in self._sent) / self.WINDOW_S

    def _forget_old(self) -> None:
        since = self._clock() - self.WINDOW_S
        while self._sent and self._sent[0][0] < since:
            self._sent.popleft()
