"""The kernel's figures for a TCP connection, and its congestion control."""

import socket

import pytest

from transfer.connections.tcp import TcpInfo, congestion_control, use_bbr


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux gives it")
def test_the_kernel_gives_figures_of_an_open_connection():
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
