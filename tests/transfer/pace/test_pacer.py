"""Threads send no more than the rate, and the foreground first, by a clock of the test's own."""

from __future__ import annotations

from datetime import time

import pytest

from transfer.pace.pacer import Pacer, Priority, pacer_of
from transfer.pace.timetable import Timetable
from transfer.wire.errors import TransferStopped

FORE, BACK = Priority.FOREGROUND, Priority.BACKGROUND


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


def test_only_a_timetable_that_limits_something_needs_a_pacer():
    assert pacer_of("unlimited") is None
    assert pacer_of("8:00-9:00 unlimited") is None
    assert pacer_of("8:00-9:00 1MB/s") is not None
