"""How fast bytes leave this machine."""

import pytest

from transfer.pace.congestion import CongestionLimits
from transfer.pace.send_rate import SendRate
from transfer.upload.grouping import GroupingLimits


def test_the_rate_is_that_of_the_last_second_and_remembers_no_more():
    now = [10.0]
    rate = SendRate(lambda: now[0])
    assert rate.bytes_per_s() == 0
    rate.add(100)
    now[0] += 0.75
    rate.add(50)
    assert rate.bytes_per_s() == 150
    now[0] += 0.5
    assert rate.bytes_per_s() == 50
    for _ in range(100):
        now[0] += 1
        rate.add(1)
    assert len(rate._sent) <= 2
    assert rate.total_bytes == 250


def test_a_gigabit_is_not_quick_though_the_sockets_take_more_at_first():
    now = [0.0]
    rate = SendRate(lambda: now[0])
    rate.add(CongestionLimits().lossy_connections * (4 << 20))
    rates = []
    for _ in range(500):
        now[0] += 0.01
        rate.add(1_170_000)
        rates.append(rate.bytes_per_s())
    assert max(rates) < GroupingLimits().least_bytes_per_s
    assert rates[-1] == pytest.approx(117e6, rel=0.02)
