"""A call that does not return is told after a time, and no more once it has returned."""

from __future__ import annotations

from api.registrars.call_watch import LONGEST_CALL_S, CallWatch


def test_what_hangs_and_since_when() -> None:
    time_s = 0.0
    watch = CallWatch(lambda: time_s)
    assert watch.hang() == ""
    with watch.call("writing a list"):
        time_s = LONGEST_CALL_S - 1
        assert watch.hang() == ""
        time_s = LONGEST_CALL_S
        assert watch.hang().startswith("it has not come back from writing a list since 20")
    assert watch.hang() == ""
