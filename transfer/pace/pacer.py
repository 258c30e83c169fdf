"""Decides which thread may send how many bytes now: at most the rate of a timetable, the foreground first.

All threads of a process share one `Pacer`. What the foreground (micrographs) leaves, the background (raw movies, gain
references) gets.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from datetime import time as time_of_day
from enum import IntEnum

from transfer.pace.timetable import Timetable

BURST_S = 0.05  # a worker that was late may catch up with the bytes of this time
PIECE_S = 0.02  # a grant is about what the whole rate sends in this time, so that no thread uses the link for long
LEAST_PIECE_BYTES, MOST_PIECE_BYTES = 1 << 12, 1 << 20
POLL_S = 0.25  # how soon a stop, or another entry of the timetable, is noticed


class Priority(IntEnum):
    """Which files go first."""

    FOREGROUND = 0
    BACKGROUND = 1


class Pacer:
    """A token bucket for all threads that send, with two priorities.

    Parameters
    ----------
    timetable
        Which rate holds when.
    clock
        Returns the monotonic time in s.
    time_of_day
        Returns the time by which the timetable is read: the local time of this machine.
    wait
        Waits on a condition for a number of seconds, or until it is notified.
    """

    def __init__(
        self,
        timetable: Timetable,
        *,
        clock: Callable[[], float] = time.monotonic,
        time_of_day: Callable[[], time_of_day] = lambda: datetime.now().astimezone().time(),
        wait: Callable[[threading.Condition, float], object] = threading.Condition.wait,
    ) -> None:
        self.timetable = timetable
        self._clock, self._time_of_day, self._wait = clock, time_of_day, wait
        self._turn = threading.Condition()
        self._waiting = [0 for _ in Priority]
        self._tokens = 0.0
        self._filled_s = clock()

    def grant(self, priority: Priority, wanted: int, *, check_stop: Callable[[], None] = lambda: None) -> int:
        """Wait until bytes of this priority may be sent, and return how many of the wanted ones.

        Raises
        ------
        TransferStopped
            `check_stop` raises it while the thread waits.
        """
        with self._turn:
            self._waiting[priority] += 1
            try:
                while (granted := self._take(priority, wanted)) == 0:
                    check_stop()
                    self._wait(self._turn, min(POLL_S, self._until_next_s()))
                return granted
            finally:
                self._waiting[priority] -= 1
                self._turn.notify_all()

    def _take(self, priority: Priority, wanted: int) -> int:
        if any(self._waiting[before] for before in Priority if before < priority):
            return 0
        rate = self._fill()
        if rate is None:
            return wanted
        if self._tokens <= 0:
            return 0
        granted = min(wanted, _piece_bytes(rate))
        self._tokens -= granted  # may become less than 0: the next thread waits longer
        return granted

    def _fill(self) -> float | None:
        """Return the rate that holds now, and add the tokens since the last time."""
        rate, now_s = self.timetable.rate_at(self._time_of_day()), self._clock()
        if rate is not None:
            most = max(rate * BURST_S, 1.0)
            self._tokens = min(most, self._tokens + rate * (now_s - self._filled_s))
        self._filled_s = now_s
        return rate

    def _until_next_s(self) -> float:
        rate = self.timetable.rate_at(self._time_of_day())
        return 0.001 if rate is None else max(0.001, (1 - self._tokens) / rate)


def _piece_bytes(rate_bytes_per_s: float) -> int:
    return int(min(max(rate_bytes_per_s * PIECE_S, LEAST_PIECE_BYTES), MOST_PIECE_BYTES))


def pacer_of(text: str) -> Pacer | None:
    """Return the pacer for the text of a timetable; None if it never limits anything.

    Raises
    ------
    BadTimetable
    """
    timetable = Timetable.parse(text)
    return Pacer(timetable) if any(entry.rate_bytes_per_s for entry in timetable.entries) else None
