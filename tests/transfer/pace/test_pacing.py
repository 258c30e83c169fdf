"""The bandwidth cap and the lanes, by a clock of the test's own."""

from __future__ import annotations

from datetime import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.pace.pacing import Entry, Pacer, Priority, Timetable, pacer_of, parse_rate
from transfer.wire.errors import BadTimetable, TransferStopped

FORE, BACK = Priority.FOREGROUND, Priority.BACKGROUND


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
    assert pacer_of("unlimited") is None
    assert pacer_of("8:00-9:00 1MB/s") is not None


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


class Clock:
    """A clock that goes on when somebody waits."""

    def __init__(self, *, starts_at=time(12)):
        self.now_s = 100.0
        self.starts_at = starts_at

    def wait(self, condition, seconds):
        self.now_s += seconds

    def time_of_day(self):
        minutes = self.starts_at.hour * 60 + self.starts_at.minute + int(self.now_s - 100) // 60
        return time(minutes // 60 % 24, minutes % 60)

    def pacer(self, timetable):
        return Pacer(Timetable.parse(timetable), clock=lambda: self.now_s, time_of_day=self.time_of_day, wait=self.wait)


def send(pacer, count, priority=FORE):
    while count:
        granted = pacer.grant(priority, count)
        assert 0 < granted <= count
        count -= granted


@pytest.mark.parametrize("rate", [1e4, 1e6, 40e6, 1e9])
def test_as_much_goes_out_as_is_allowed(rate):
    clock = Clock()
    pacer = clock.pacer(f"{rate / 1e6}MB/s")
    send(pacer, int(10 * rate))
    assert clock.now_s - 100 == pytest.approx(10, rel=0.02, abs=0.5)


def test_nothing_is_saved_up_while_nothing_is_sent():
    clock = Clock()
    pacer = clock.pacer("1MB/s")
    send(pacer, 10)
    clock.now_s += 3600
    began_s = clock.now_s
    send(pacer, 10_000_000)
    assert clock.now_s - began_s == pytest.approx(10, rel=0.02)


def test_the_rate_changes_with_the_time_of_the_day():
    clock = Clock(starts_at=time(17, 59))
    pacer = clock.pacer("08:00-18:00 1MB/s; 10MB/s")
    send(pacer, 60_000_000)
    assert clock.now_s - 100 == pytest.approx(60, rel=0.02)
    send(pacer, 600_000_000)
    assert clock.now_s - 100 == pytest.approx(120, rel=0.02)


def stop():
    raise TransferStopped


def test_a_stop_is_heard_while_waiting():
    pacer = Clock().pacer("1MB/s")
    with pytest.raises(TransferStopped):
        pacer.grant(FORE, 1_000_000, check_stop=stop)  # its bucket is still empty


def test_the_background_waits_while_the_foreground_does():
    clock, tried = Clock(), []

    def wait(_, seconds):
        """Let the background try while the foreground waits."""
        with pytest.raises(TransferStopped):
            pacer.grant(BACK, 100, check_stop=stop)
        tried.append(seconds)
        clock.now_s += 2 * seconds  # enough for both

    pacer = Pacer(Timetable.parse("1MB/s"), clock=lambda: clock.now_s, time_of_day=lambda: time(12), wait=wait)
    assert pacer.grant(FORE, 100) == 100
    assert tried
    clock.now_s += 1
    assert pacer.grant(BACK, 100, check_stop=stop) == 100


def test_an_unlimited_pacer_grants_what_is_wanted():
    pacer = Clock().pacer("unlimited")
    assert [pacer.grant(priority, 123_456_789) for priority in Priority] == [123_456_789] * 2
