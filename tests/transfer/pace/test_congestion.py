"""Which number of connections, and which congestion control, follow from the kernel's figures."""

from __future__ import annotations

import pytest

from transfer.connections.tcp import TcpInfo
from transfer.pace.congestion import CongestionLimits, CongestionMonitor

LIMITS = CongestionLimits()


def info(round_trip_s=0.1, least_s=0.1, sent=1000, again=0):
    return TcpInfo(round_trip_s, least_s, sent, again, 10**6)


def test_a_long_clean_link_is_left_to_the_first_connections():
    monitor = CongestionMonitor()
    for _ in range(10):
        monitor.observe([(n, info()) for n in range(16)], has_bbr=False)
    assert (monitor.connections, monitor.wants_bbr, monitor.pipelines) == (LIMITS.first_connections, False, True)


def test_on_a_short_round_trip_nothing_is_changed():
    monitor = CongestionMonitor()
    monitor.observe([(0, info(0.0001, 0.0001, again=50))], has_bbr=False)
    assert (monitor.connections, monitor.wants_bbr, monitor.pipelines) == (LIMITS.first_connections, False, False)


def test_loss_into_a_queue_changes_nothing():
    monitor = CongestionMonitor()
    for again in range(0, 5000, 500):
        monitor.observe([(0, info(0.18, 0.1, again=again))], has_bbr=False)
    assert (monitor.connections, monitor.wants_bbr) == (LIMITS.first_connections, False)


@pytest.mark.parametrize(
    ("has_bbr", "connections"), [(True, LIMITS.lossy_connections), (False, LIMITS.most_connections)]
)
def test_loss_without_a_queue_asks_for_bbr_and_without_it_for_more_connections(has_bbr, connections):
    monitor = CongestionMonitor()
    for step in range(10):
        samples = [(n, info(0.101, 0.1, again=step)) for n in range(16)]
        monitor.observe(samples, has_bbr=has_bbr and monitor.wants_bbr)
    assert (monitor.connections, monitor.wants_bbr) == (connections, True)


def test_if_bbr_is_not_permitted_more_connections_share_the_losses():
    monitor = CongestionMonitor(may_use_bbr=False)
    for step in range(10):
        monitor.observe([(n, info(0.101, 0.1, again=step)) for n in range(16)], has_bbr=False)
    assert (monitor.connections, monitor.wants_bbr) == (LIMITS.most_connections, False)


def test_two_lost_segments_are_not_enough():
    monitor = CongestionMonitor()
    for again in (0, 1, 2, 2, 2):
        monitor.observe([(0, info(again=again))], has_bbr=False)
    assert not monitor.wants_bbr


def test_a_number_that_the_user_chose_stays():
    monitor = CongestionMonitor(3)
    for again in range(0, 100, 10):
        monitor.observe([(0, info(again=again))], has_bbr=False)
    monitor.observe([], has_bbr=False)
    assert (monitor.connections, monitor.wants_bbr) == (3, True)


def test_a_short_round_trip_means_near():
    monitor = CongestionMonitor()
    assert not monitor.is_near
    monitor.observe([(0, info(0.0001, 0.0001))], has_bbr=False)
    assert monitor.is_near
    monitor.observe([(0, info(0.1, 0.1))], has_bbr=False)
    assert not monitor.is_near


def test_the_limits_decide():
    limits = CongestionLimits(first_connections=2, losses=1, lossy_connections=5, most_connections=7, growth=10)
    monitor = CongestionMonitor(limits=limits)
    assert monitor.connections == 2
    monitor.observe([(0, info(again=1))], has_bbr=False)
    assert (monitor.connections, monitor.lossy) == (5, True)
    monitor.observe([(0, info(again=2))], has_bbr=False)
    assert monitor.connections == 7
    for long_s, pipeline_s, expected in [(0.2, 0.3, (True, False)), (0.01, 0.1, (False, True))]:
        monitor = CongestionMonitor(limits=CongestionLimits(long_round_trip_s=long_s, pipeline_round_trip_s=pipeline_s))
        monitor.observe([(0, info())], has_bbr=False)
        assert (monitor.is_near, monitor.pipelines) == expected


def test_it_looks_at_once_and_then_once_an_interval():
    monitor = CongestionMonitor(limits=CongestionLimits(interval_s=2))
    assert [monitor.is_due(now_s) for now_s in (5, 5, 6, 7, 8, 9)] == [True, False, False, True, False, True]


def test_only_new_losses_of_a_connection_count():
    monitor = CongestionMonitor()
    for _ in range(5):
        monitor.observe([(0, info(again=2))], has_bbr=False)
    assert not monitor.lossy
