"""Decides from the kernel's figures how many connections send, and whether they ask for BBR.

Loss on a path without a queue comes from the link itself, and it makes loss-based congestion control slow. Then BBR is
requested, over more connections. If the kernel does not grant BBR, still more connections share the losses. Loss on a
path with a queue is caused by our own traffic: then nothing is added. The rate alone would not show this, because on a
lossy link one more connection hardly changes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from transfer.connections.tcp import TcpInfo
from transfer.defaults import MOST_CONNECTIONS


@dataclass(frozen=True, slots=True)
class CongestionLimits:
    """The numbers that the decisions depend on.

    Attributes
    ----------
    first_connections
        Used at the beginning. Eight fill a link without loss, and each of them finishes its last chunk sooner than each
        of a larger number would.
    lossy_connections
        Used when the link loses packets. Over 100 ms with 1 % loss and BBR, 16 carried 101 MB/s and 8 carried 87.
    most_connections
        The highest number that is ever used.
    growth
        The factor by which the number grows while losses go on without BBR.
    interval_s
        Time between two looks at the kernel's figures, in s.
    long_round_trip_s
        A shorter round trip, in s, means one machine or one room; losses are not considered there.
    pipeline_round_trip_s
        From this round trip on, in s, waiting for an answer before the next request costs more than sending a
        second request again after a connection has broken.
    queue_factor
        A round trip this many times the smallest one means that packets wait in a queue.
    losses
        This many segments must be sent again without a queue before the link counts as lossy.
    """

    first_connections: int = 8
    lossy_connections: int = 16
    most_connections: int = MOST_CONNECTIONS
    growth: float = 1.5
    interval_s: float = 0.1
    long_round_trip_s: float = 0.002
    pipeline_round_trip_s: float = 0.005
    queue_factor: float = 1.25
    losses: int = 3


@dataclass(slots=True)
class CongestionMonitor:
    """Decides for all connections to one receiver. Not thread-safe: the caller holds a lock.

    Parameters
    ----------
    fixed
        A number of connections that the user chose; None: the monitor decides.
    may_use_bbr
        Whether BBR may be requested.
    limits
        The numbers that the decisions depend on.

    Attributes
    ----------
    connections
        How many connections may be used now.
    lossy
        Whether the link itself loses packets.
    is_near
        Whether the round trip to the receiver is short.
    pipelines
        Whether a connection should send a second request before it has the answer to the first one.
    """

    fixed: int | None = None
    may_use_bbr: bool = True
    limits: CongestionLimits = field(default_factory=CongestionLimits)
    connections: int = field(init=False)
    lossy: bool = field(init=False, default=False)
    is_near: bool = field(init=False, default=False)
    pipelines: bool = field(init=False, default=False)
    _retransmitted: dict[int, int] = field(init=False, default_factory=dict)
    _losses: int = field(init=False, default=0)
    _observed_s: float = field(init=False, default=-math.inf)  # the first bytes that go out are a reason to look

    def __post_init__(self) -> None:
        self.connections = self.fixed or self.limits.first_connections

    @property
    def wants_bbr(self) -> bool:
        """Whether the connections should ask for BBR."""
        return self.lossy and self.may_use_bbr

    def is_due(self, now_s: float) -> bool:
        """Return whether it is time for the next `observe`; if it is, the next interval begins."""
        if now_s - self._observed_s < self.limits.interval_s:
            return False
        self._observed_s = now_s
        return True

    def observe(self, samples: Iterable[tuple[int, TcpInfo]], *, has_bbr: bool) -> None:
        """Decide again, from what every connection did since the last time.

        Parameters
        ----------
        samples
            Open connections, each with a number that stays the same.
        has_bbr
            Whether any of them uses BBR now.
        """
        known = list(samples)
        if not known:
            return
        lost = self._lost_without_queue(known)
        least_s = min(info.least_round_trip_s for _, info in known)
        self.pipelines = least_s >= self.limits.pipeline_round_trip_s
        self.is_near = least_s < self.limits.long_round_trip_s
        if self.is_near:
            return
        self._losses += lost
        if self.fixed is None:
            self.connections = self._next_connections(lost, has_bbr=has_bbr)
        self.lossy = self.lossy or self._losses >= self.limits.losses

    def _next_connections(self, lost_without_queue: int, *, has_bbr: bool) -> int:
        limits = self.limits
        if not self.lossy:
            return limits.lossy_connections if self._losses >= limits.losses else self.connections
        if has_bbr or not lost_without_queue:
            return self.connections
        return min(limits.most_connections, math.ceil(self.connections * limits.growth))

    def _lost_without_queue(self, known: list[tuple[int, TcpInfo]]) -> int:
        """Return how many segments were sent again, since the last time, on connections that see no queue."""
        lost = 0
        for number, info in known:
            new = info.retransmitted_segments - self._retransmitted.get(number, 0)
            self._retransmitted[number] = info.retransmitted_segments
            if new > 0 and info.round_trip_s < self.limits.queue_factor * info.least_round_trip_s:
                lost += new
        return lost
