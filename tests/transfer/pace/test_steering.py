"""What the kernel's figures make of the number of connections and their congestion control."""

from __future__ import annotations

import socket

import pytest

from transfer.connections.tcp import TcpInfo, congestion_control, use_bbr
from transfer.pace.steering import FIRST_CONNECTIONS, LOSSY_CONNECTIONS, MOST_CONNECTIONS, Outflow, Steering
from transfer.upload.scheduler import QUICK_BYTES_PER_S


def info(round_trip_s=0.1, least_s=0.1, sent=1000, again=0):
    return TcpInfo(round_trip_s, least_s, sent, again, 10**6)


def test_a_long_clean_link_is_left_to_the_first_connections():
    steering = Steering()
    for _ in range(10):
        steering.observe([(n, info()) for n in range(16)], has_bbr=False)
    assert (steering.connections, steering.wants_bbr, steering.pipelines) == (FIRST_CONNECTIONS, False, True)


def test_on_a_short_way_nothing_is_steered():
    steering = Steering()
    steering.observe([(0, info(0.0001, 0.0001, again=50))], has_bbr=False)
    assert (steering.connections, steering.wants_bbr, steering.pipelines) == (FIRST_CONNECTIONS, False, False)


def test_loss_into_a_standing_queue_is_our_own_doing():
    steering = Steering()
    for again in range(0, 5000, 500):
        steering.observe([(0, info(0.18, 0.1, again=again))], has_bbr=False)
    assert (steering.connections, steering.wants_bbr) == (FIRST_CONNECTIONS, False)


@pytest.mark.parametrize(("has_bbr", "connections"), [(True, LOSSY_CONNECTIONS), (False, MOST_CONNECTIONS)])
def test_loss_without_a_queue_asks_for_bbr_and_without_it_for_more_connections(has_bbr, connections):
    steering = Steering()
    for step in range(10):
        samples = [(n, info(0.101, 0.1, again=step)) for n in range(16)]
        steering.observe(samples, has_bbr=has_bbr and steering.wants_bbr)
    assert (steering.connections, steering.wants_bbr) == (connections, True)


def test_without_leave_for_bbr_more_connections_share_the_losses():
    steering = Steering(may_use_bbr=False)
    for step in range(10):
        steering.observe([(n, info(0.101, 0.1, again=step)) for n in range(16)], has_bbr=False)
    assert (steering.connections, steering.wants_bbr) == (MOST_CONNECTIONS, False)


def test_two_lost_segments_are_no_proof():
    steering = Steering()
    for again in (0, 1, 2, 2, 2):
        steering.observe([(0, info(again=again))], has_bbr=False)
    assert not steering.wants_bbr


def test_a_number_that_somebody_chose_stays():
    steering = Steering(3)
    for again in range(0, 100, 10):
        steering.observe([(0, info(again=again))], has_bbr=False)
    steering.observe([], has_bbr=False)
    assert (steering.connections, steering.wants_bbr) == (3, True)


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="Linux tells it")
def test_the_kernel_tells_of_a_connection():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with socket.create_connection(listening.getsockname()) as ours, listening.accept()[0] as theirs:
            ours.sendall(b"x" * 100_000)
            while len(theirs.recv(100_000, socket.MSG_PEEK)) < 65_000:
                pass
            told = TcpInfo.of(ours)
            assert told is not None
            assert 0 < told.least_round_trip_s <= told.round_trip_s < 1
            assert told.sent_segments >= 1
            assert told.retransmitted_segments == 0
            assert use_bbr(ours) == (congestion_control(ours) == "bbr")
        assert TcpInfo.of(ours) is None  # closed
        assert congestion_control(ours) is None
        assert not use_bbr(ours)


def test_the_outflow_is_that_of_the_last_second_and_remembers_no_more():
    now = [10.0]
    outflow = Outflow(lambda: now[0])
    assert outflow.bytes_per_s() == 0
    outflow.note(100)
    now[0] += 0.75
    outflow.note(50)
    assert outflow.bytes_per_s() == 150
    now[0] += 0.5
    assert outflow.bytes_per_s() == 50
    for _ in range(100):
        now[0] += 1
        outflow.note(1)
    assert len(outflow._sent) <= 2


def test_a_gigabit_is_not_quick_though_the_sockets_take_more_at_first():
    now = [0.0]
    outflow = Outflow(lambda: now[0])
    outflow.note(LOSSY_CONNECTIONS * (4 << 20))
    rates = []
    for _ in range(500):
        now[0] += 0.01
        outflow.note(1_170_000)
        rates.append(outflow.bytes_per_s())
    assert max(rates) < QUICK_BYTES_PER_S
    assert rates[-1] == pytest.approx(117e6, rel=0.02)


def test_a_short_way_is_near():
    steering = Steering()
    assert not steering.is_near
    steering.observe([(0, info(0.0001, 0.0001))], has_bbr=False)
    assert steering.is_near
    steering.observe([(0, info(0.1, 0.1))], has_bbr=False)
    assert not steering.is_near
