"""What only some kernels offer for TCP: figures of a connection, a choice of congestion control, `sendfile`.

`TcpInfo` reads Linux's own `struct tcp_info` (include/uapi/linux/tcp.h). Where the kernel does not offer something,
nothing is known and nothing fails.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import NamedTuple, Self

from transfer.disk.files import read_at

_TCP_INFO = getattr(socket, "TCP_INFO", None)
_TCP_CONGESTION = getattr(socket, "TCP_CONGESTION", None)
_NAME_BYTES = 16
_RTT_OFFSET, _RETRANSMITTED_OFFSET, _MIN_RTT_OFFSET, _DELIVERY_RATE_OFFSET = 68, 100, 148, 160
_COPIED_BYTES = 1 << 18  # at a time, where the kernel has no `sendfile`
_KNOWN_BYTES = _DELIVERY_RATE_OFFSET + 8


class TcpInfo(NamedTuple):
    """The kernel's figures for one connection.

    Attributes
    ----------
    round_trip_s, least_round_trip_s
        The smoothed round trip, and the smallest one of the last minutes, in s. If both are nearly equal, packets do
        not wait in a queue.
    sent_segments, retransmitted_segments
        How many segments were sent, and how many were sent again, since the connection was opened.
    delivery_rate_bytes_per_s
        The rate at which the receiver got the most recent bytes.
    """

    round_trip_s: float
    least_round_trip_s: float
    sent_segments: int
    retransmitted_segments: int
    delivery_rate_bytes_per_s: int

    @classmethod
    def of(cls, connected: socket.socket) -> Self | None:
        """Return the figures; None if the connection is closed or the kernel gives none."""
        if _TCP_INFO is None:
            return None
        try:
            raw = connected.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _KNOWN_BYTES)
        except OSError:
            return None
        if len(raw) < _KNOWN_BYTES:  # an older kernel
            return None
        (round_trip_us,) = struct.unpack_from("=I", raw, _RTT_OFFSET)
        (retransmitted,) = struct.unpack_from("=I", raw, _RETRANSMITTED_OFFSET)
        least_us, _, sent = struct.unpack_from("=III", raw, _MIN_RTT_OFFSET)
        (rate,) = struct.unpack_from("=Q", raw, _DELIVERY_RATE_OFFSET)
        return cls(round_trip_us / 1e6, least_us / 1e6, sent, retransmitted, rate)


def congestion_control(connected: socket.socket) -> str | None:
    """Return the name of the congestion control that a connection uses; None if it is unknown."""
    if _TCP_CONGESTION is None:
        return None
    try:
        name: bytes = connected.getsockopt(socket.IPPROTO_TCP, _TCP_CONGESTION, _NAME_BYTES)
    except OSError:
        return None
    return name.rstrip(b"\0").decode()


def use_bbr(connected: socket.socket) -> bool:
    """Ask for BBR on a connection; return whether the connection uses it now.

    Without privileges, the kernel grants BBR only if `net.ipv4.tcp_allowed_congestion_control` names it. The setting is
    read back, because a kernel was seen to set another one in a network namespace.
    """
    if _TCP_CONGESTION is None:
        return False
    try:
        connected.setsockopt(socket.IPPROTO_TCP, _TCP_CONGESTION, b"bbr")
    except OSError:
        return False
    return congestion_control(connected) == "bbr"


def send_now(connected: socket.socket, data: memoryview) -> int:
    """Give bytes to the kernel without waiting for buffer space; return how many it took.

    Raises
    ------
    BlockingIOError
        The socket's buffer is full.
    OSError
    """
    if os.name != "nt":
        return os.write(connected.fileno(), data)  # the socket's own timeout would make `send` wait
    timeout_s = connected.gettimeout()
    connected.setblocking(False)
    try:
        return connected.send(data)
    finally:
        connected.settimeout(timeout_s)


def send_from_file(connected: socket.socket, file: int, offset: int, size_bytes: int) -> int:
    """Send bytes of an open file from `offset` on without waiting for buffer space; return how many the kernel took.

    The kernel copies them from the page cache where it has `sendfile`. 0: the file ends there.

    Raises
    ------
    BlockingIOError
        The socket's buffer is full.
    OSError
    """
    if hasattr(os, "sendfile"):
        return os.sendfile(connected.fileno(), file, offset, size_bytes)
    block = memoryview(read_at(file, min(size_bytes, _COPIED_BYTES), offset))
    return send_now(connected, block) if block else 0
