"""Which texts are timetables, and which rate they give at which time."""

from __future__ import annotations

from datetime import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.pace.timetable import Entry, Timetable, parse_rate
from transfer.wire.errors import BadTimetable


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("40MB/s", 40e6),
        ("40 MB/s", 40e6),
        ("0.5GB/s", 0.5e9),
        ("8MiB/s", 8 * 2**20),
        ("100kb/s", 100e3),
        ("200Mbit/s", 25e6),
        ("1 Gbit/s", 125e6),
        ("unlimited", None),
        (" Unlimited ", None),
    ],
)
def test_rates(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    ["", "40", "40MB", "MB/s", "-4MB/s", "4,5MB/s", "0MB/s", "40TB/s", "fast", "08:00 40MB/s", "08:00-18:00",
     "08:00-08:00 4MB/s", "24:00-00:00 4MB/s", "08:00-25:00 4MB/s", "8-18 4MB/s", "08:60-10:00 4MB/s",
     "40MB/s;", ";", "24:01-25:00 1MB/s", "4MB/s 08:00-18:00", "٤MB/s"],
)  # fmt: skip
def test_what_is_no_timetable_says_how_to_write_one(text):
    with pytest.raises(BadTimetable) as caught:
        Timetable.parse(text)
    assert caught.value.exit_code == 2
    assert "MB/s" in caught.value.hint or "times" in caught.value.hint or "rate" in caught.value.hint


@pytest.mark.parametrize(
    ("at", "rate"),
    [("07:59", 5e6), ("08:00", 40e6), ("17:59", 40e6), ("18:00", 5e6), ("21:59", 5e6),
     ("22:00", None), ("23:59", None), ("00:00", None), ("05:59", None), ("06:00", 5e6)],
)  # fmt: skip
def test_the_first_entry_that_holds_counts_also_across_midnight(at, rate):
    timetable = Timetable.parse("08:00-18:00 40MB/s; 22:00-06:00 unlimited; 5MB/s")
    assert timetable.rate_at(time.fromisoformat(at)) == rate


def test_without_an_entry_that_holds_nothing_is_limited():
    assert Timetable.parse("08:00-18:00 1MB/s").rate_at(time(20)) is None
    assert Timetable().rate_at(time(20)) is None
    assert Timetable.parse("00:00-24:00 1MB/s").rate_at(time(23, 59)) == 1e6


minutes = st.integers(0, 24 * 60 - 1)


@given(minutes, minutes, minutes, st.integers(1, 10**6))
def test_an_entry_holds_from_its_begin_until_before_its_end(begin, end, at, megabytes):
    text = f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02} {megabytes}MB/s"
    if begin == end:
        with pytest.raises(BadTimetable):
            Timetable.parse(text)
        return
    timetable = Timetable.parse(text)
    assert timetable.entries == (Entry(begin, end, megabytes * 1e6),)
    length, since = (end - begin) % (24 * 60), (at - begin) % (24 * 60)
    expected = megabytes * 1e6 if since < length else None
    assert timetable.rate_at(time(at // 60, at % 60)) == expected
