"""Reads which rate holds at which time of the day.

    08:00-18:00 40MB/s; 22:00-06:00 unlimited; 200Mbit/s

The first entry that holds now counts. An entry without times always holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import time as time_of_day

from transfer.wire.errors import BadTimetable

_UNITS = {"b": 1.0, "bit": 0.125}
_PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "ki": 2.0**10, "mi": 2.0**20, "gi": 2.0**30}
_RATE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?) ?(?P<prefix>[kmg]i?)?(?P<unit>bit|b)/s", re.ASCII | re.IGNORECASE)
_ENTRY = re.compile(r"(?:(?P<begin>\S+?)\s*-\s*(?P<end>[0-9:]+)\s+)?(?P<rate>.+)", re.ASCII)
_TIME = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])", re.ASCII)
_DAY_MINUTES = 24 * 60
_HINT = (
    "Write it as `08:00-18:00 40MB/s; 200Mbit/s`. An entry is a rate in MB/s or Mbit/s, or `unlimited`, and may begin"
    " with times of the day. Put ; between entries."
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A rate, and the time of the day in which it holds.

    Attributes
    ----------
    begin_minute, end_minute
        The minutes of the day from which, and before which, it holds. If the end is less, it holds across midnight.
    rate_bytes_per_s
        The rate; None: unlimited.
    """

    begin_minute: int
    end_minute: int
    rate_bytes_per_s: float | None

    def holds_at(self, minute: int) -> bool:
        """Return whether the entry holds in a minute of the day."""
        if self.begin_minute < self.end_minute:
            return self.begin_minute <= minute < self.end_minute
        return minute >= self.begin_minute or minute < self.end_minute


@dataclass(frozen=True, slots=True)
class Timetable:
    """Which rate holds when. If no entry holds, nothing is limited."""

    entries: tuple[Entry, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Timetable:
        """Return the timetable that a text like `08:00-18:00 40MB/s; 200Mbit/s` describes.

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
        raise BadTimetable(f"{text!r}: its begin and its end are the same", hint="For the whole day, omit the times.")
    return Entry(begin % _DAY_MINUTES, end, parse_rate(match["rate"]))


def _minute(text: str, entry: str) -> int:
    match = _TIME.fullmatch(text)
    minute = int(match[1]) * 60 + int(match[2]) if match else _DAY_MINUTES + 1
    if minute > _DAY_MINUTES:
        raise BadTimetable(f"{entry!r}: {text!r} is not a time of the day from 00:00 to 24:00", hint=_HINT)
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
        raise BadTimetable(f"{text!r} is not a rate", hint=_HINT)
    prefix, unit = (match["prefix"] or "").lower(), match["unit"].lower()
    rate = float(match["number"]) * _PREFIXES[prefix] * _UNITS[unit]
    if rate < 1:
        raise BadTimetable(f"{text!r} is less than 1 byte/s", hint="Give a higher rate, or stop the agent.")
    return rate
