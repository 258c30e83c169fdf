"""How many connections carry the bulk, and whether BBR does: decided by what the kernel tells of each connection.

Loss while no queue stands on the way is the link's own, and makes loss-based congestion control crawl: BBR is asked
for, over more connections, or, where the kernel does not grant it, still more of them share the losses. Loss into a
standing queue is our own doing: nothing is added. Goodput alone would mislead: on a lossy link it hardly moves when one
connection is added.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from transfer.connections.tcp import TcpInfo

FIRST_CONNECTIONS = 8  # they fill a clean link, and each gets through its last chunk sooner than one of more would
LOSSY_CONNECTIONS = 16  # over 100 ms with 1 % loss and BBR they carried 101 MB/s, eight 87
MOST_CONNECTIONS = 64
INTERVAL_S = 0.1
LONG_ROUND_TRIP_S = 0.002  # below, the link is one machine or one room: loss is not the question
PIPELINE_ROUND_TRIP_S = 0.005  # from here on a connection that waits for an answer loses more than a request in hand
QUEUE_FACTOR = 1.25  # a round trip this many times the least one means that a queue stands on the way
LOSSES = 3  # retransmitted segments without a queue, before they are believed
GROWTH = 1.5


class Outflow:
    """How many bytes a second go out, over the last `WINDOW_S`.

    Parameters
    ----------
    clock
        Returns the time in s.
    """

    WINDOW_S = 1.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sent: deque[tuple[float, int]] = deque()

    def note(self, sent_bytes: int) -> None:
        """Add what went out now."""
        self._sent.append((self._clock(), sent_bytes))
        self._forget()

    def bytes_per_s(self) -> float:
        """Return the rate; of less than a window, as if nothing had gone out in the rest of it."""
        self._forget()
        return sum(count for _, count in self._sent) / self.WINDOW_S

    def _forget(self) -> None:
        since = self._clock() - self.WINDOW_S
        while self._sent and self._sent[0][0] < since:
            self._sent.popleft()


@dataclass(slots=True)
class Steering:
    """Decides for one pool of connections.

    Parameters
    ----------
    fixed
        A number of connections that somebody chose; None: as many as pay.
    may_use_bbr
        Whether BBR may be asked for.

    Attributes
    ----------
    connections
        How many may be used now.
    lossy
        Whether loss was seen that is the link's own.
    is_near
        Whether the way to the receiver is short.
    pipelines
        Whether a connection should have a second request on its way before the first one's answer.
    """

    fixed: int | None = None
    may_use_bbr: bool = True
    connections: int = field(init=False)
    lossy: bool = field(init=False, default=False)
    is_near: bool = field(init=False, default=False)
    pipelines: bool = field(init=False, default=False)
    _seen: dict[int, int] = field(init=False, default_factory=dict)
    _losses: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.connections = self.fixed or FIRST_CONNECTIONS

    def observe(self, samples: Iterable[tuple[int, TcpInfo]], *, has_bbr: bool) -> None:
        """Take in what every connection (by a number of its own) did since the last time.

        Parameters
        ----------
        samples
            Connections that carry something now.
        has_bbr
            Whether they use BBR now.
        """
        known = list(samples)
        if not known:
            return
        lost_without_queue = self._lost_without_queue(known)
        least_s = min(info.least_round_trip_s for _, info in known)
        self.pipelines = least_s >= PIPELINE_ROUND_TRIP_S
        self.is_near = least_s < LONG_ROUND_TRIP_S
        if self.is_near:
            return
        self._losses += lost_without_queue
        if self.fixed is None:
            self.connections = self._next_connections(lost_without_queue, has_bbr=has_bbr)
        self.lossy = self.lossy or self._losses >= LOSSES

    def _next_connections(self, lost_without_queue: int, *, has_bbr: bool) -> int:
        if not self.lossy:
            return LOSSY_CONNECTIONS if self._losses >= LOSSES else self.connections
        if has_bbr or not lost_without_queue:
            return self.connections
        return min(MOST_CONNECTIONS, math.ceil(self.connections * GROWTH))

    @property
    def wants_bbr(self) -> bool:
        """Whether BBR is to be asked for."""
        return self.lossy and self.may_use_bbr

    def _lost_without_queue(self, known: list[tuple[int, TcpInfo]]) -> int:
        """Return how many segments were sent again on connections whose packets meet no queue."""
        lost = 0
        for number, info in known:
            new = info.retransmitted_segments - self._seen.get(number, 0)
            self._seen[number] = info.retransmitted_segments
            if new > 0 and info.round_trip_s < QUEUE_FACTOR * info.least_round_trip_s:
                lost += new
        return lost
