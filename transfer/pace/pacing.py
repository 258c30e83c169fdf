"""How fast may be sent, and who goes first: a bandwidth cap by the time of day, and two lanes.

    08:00-18:00 40MB/s; 22:00-06:00 unlimited; 200Mbit/s

Of a day's entries the first that holds now counts, one without times always holds. All threads of an agent share one
`Pacer`: what the foreground (micrographs) leaves, the background (raw movies, gain references) gets.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from datetime import time as time_of_day
from enum import IntEnum

from transfer.wire.errors import BadTimetable

BURST_S = 0.05  # what may be caught up with: a worker that was late
PIECE_S = 0.02  # a piece takes about this long at the whole rate, so that nobody holds the link for long
LEAST_PIECE_BYTES, MOST_PIECE_BYTES = 1 << 12, 1 << 20
POLL_S = 0.25  # how soon a stop, or another entry of the timetable, is noticed

_UNITS = {"b": 1.0, "bit": 0.125}
_PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "ki": 2.0**10, "mi": 2.0**20, "gi": 2.0**30}
_RATE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?) ?(?P<prefix>[kmg]i?)?(?P<unit>bit|b)/s", re.ASCII | re.IGNORECASE)
_ENTRY = re.compile(r"(?:(?P<begin>\S+?)\s*-\s*(?P<end>[0-9:]+)\s+)?(?P<rate>.+)", re.ASCII)
_TIME = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])", re.ASCII)
_DAY_MINUTES = 24 * 60
_HINT = (
    "Write it as `08:00-18:00 40MB/s; 200Mbit/s`: times, a rate in MB/s or Mbit/s or `unlimited`, ; between entries."
)


class Priority(IntEnum):
    """Who goes first."""

    FOREGROUND = 0
    BACKGROUND = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A rate, and when it holds: from a minute of the day until before another, across midnight where that is less.

    `rate_bytes_per_s` None: unlimited.
    """

    begin_minute: int
    end_minute: int
    rate_bytes_per_s: float | None

    def holds_at(self, minute: int) -> bool:
        """Return whether it holds in that minute of the day."""
        if self.begin_minute < self.end_minute:
            return self.begin_minute <= minute < self.end_minute
        return minute >= self.begin_minute or minute < self.end_minute


@dataclass(frozen=True, slots=True)
class Timetable:
    """Which rate holds when; without an entry that holds, none does: unlimited."""

    entries: tuple[Entry, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Timetable:
        """Return the timetable that a text like `08:00-18:00 40MB/s; 200Mbit/s` tells of.

        Raises
        ------
        BadTimetable
        """
        parts = [part.strip() for part in re.split(r"[;,]", text)]
        if not all(parts):
            raise BadTimetable(f"{text!r}: an entry is empty", hint=_HINT)
        return cls(tuple(_entry(part) for part in parts))

    def rate_at(self, at: time_of_day) -> float | None:
        """Return the rate in bytes per s at a time of the day; None: unlimited."""
        minute = at.hour * 60 + at.minute
        return next((entry.rate_bytes_per_s for entry in self.entries if entry.holds_at(minute)), None)


def _entry(text: str) -> Entry:
    match = _ENTRY.fullmatch(text)
    assert match  # anything but nothing matches
    if match["begin"] is None:
        return Entry(0, _DAY_MINUTES, parse_rate(match["rate"]))
    begin, end = _minute(match["begin"], text), _minute(match["end"], text)
    if begin % _DAY_MINUTES == end % _DAY_MINUTES and (begin, end) != (0, _DAY_MINUTES):
        raise BadTimetable(f"{text!r}: it ends when it begins", hint="For the whole day, leave the times away.")
    return Entry(begin % _DAY_MINUTES, end, parse_rate(match["rate"]))


def _minute(text: str, entry: str) -> int:
    match = _TIME.fullmatch(text)
    minute = int(match[1]) * 60 + int(match[2]) if match else _DAY_MINUTES + 1
    if minute > _DAY_MINUTES:
        raise BadTimetable(f"{entry!r}: {text!r} is no time of day from 00:00 to 24:00", hint=_HINT)
    return minute


def parse_rate(text: str) -> float | None:
    """Return a rate in bytes per s; None for `unlimited`.

    Raises
    ------
    BadTimetable
    """
    if text.strip().lower() == "unlimited":
        return None
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise BadTimetable(f"{text!r} is no rate", hint=_HINT)
    prefix, unit = (match["prefix"] or "").lower(), match["unit"].lower()
    rate = float(match["number"]) * _PREFIXES[prefix] * _UNITS[unit]
    if rate < 1:
        raise BadTimetable(f"{text!r}: that would never end", hint="Leave the agent stopped instead, or give a rate.")
    return rate


class Pacer:
    """A token bucket for all threads that send, with two lanes.

    Parameters
    ----------
    timetable
        Which rate holds when.
    clock
        Monotonic seconds.
    time_of_day
        The time by which the timetable is read: the machine's own, local.
    wait
        Waits on a condition for so many seconds, or until somebody notifies it.
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
        """Wait for the priority's turn, and return how many of the wanted bytes may be sent now.

        Raises
        ------
        TransferStopped
            Whatever `check_stop` raises while it waits.
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
        self._tokens -= granted  # may become a debt: the next one waits until it is paid
        return granted

    def _fill(self) -> float | None:
        """Return the rate that holds now, and put in what it gave since the last time."""
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
    """Return the pacer for a timetable as somebody wrote it; None where it is just `unlimited`.

    Raises
    ------
    BadTimetable
    """
    timetable = Timetable.parse(text)
    return Pacer(timetable) if any(entry.rate_bytes_per_s for entry in timetable.entries) else None
