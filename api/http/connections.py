"""Decides which connections stay open, so that one that carries a token always finds a place.

A connection is trusted once a request on it had a valid token. Connections without a token have a limit in all and one
for each address. Where a new connection finds no place, the oldest one that has no token and waits for its client is
closed: of the same address if that has too many, else of the address that has most of them.
"""

from __future__ import annotations

import ipaddress
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from api.http.refusals import RefusalCounts

DESCRIPTORS_FOR_FILES = 64
"""Descriptors that connections leave to the database, the log and the registrars."""

_DESCRIPTORS_EACH = 3  # a connection, its duplicate while a thread reads it, and the part file that it fills
_MOST = 4096
_LEAST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """How many connections one process of the receiver keeps open.

    Attributes
    ----------
    most
        In all.
    most_without_token
        Of those that have shown no valid token.
    most_of_address
        Of those, from one address (IPv6: one /64 network). A proxy in front is no such address.
    """

    most: int
    most_without_token: int
    most_of_address: int

    @classmethod
    def of_total(cls, most: int) -> Self:
        """Return the limits that belong to a number of connections in all."""
        without_token = min(1024, max(1, most // 2))
        return cls(most=most, most_without_token=without_token, most_of_address=max(1, without_token // 2))

    @classmethod
    def of_descriptors(cls, count: int) -> Self:
        """Return the limits for a process that may have so many descriptors open."""
        return cls.of_total(max(_LEAST, min(_MOST, (count - DESCRIPTORS_FOR_FILES) // _DESCRIPTORS_EACH)))


def network_of(address: str) -> str:
    """Return what counts as one client: the address, or the /64 network of an IPv6 address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


class Place:
    """What one connection occupies, from when it was accepted until it is closed.

    Attributes
    ----------
    address
        Of the client, as `network_of` returns it.
    close
        Closes the connection at once.
    has_token
        Whether a request on it had a valid token.
    """

    __slots__ = (
        *("_connections", "_is_closed", "_when_closed"),
        *("address", "close", "has_token", "is_shared", "since_s", "waits"),
    )

    def __init__(self, connections: Connections, address: str, *, is_shared: bool) -> None:
        self._connections = connections
        self.address = address
        self.is_shared = is_shared
        self.has_token = False
        self.waits = True  # for its client: to send the head of a request
        self.since_s = time.monotonic()
        self.close: Callable[[], object] = lambda: None
        self._is_closed = False
        self._when_closed: set[Callable[[Place], object]] = set()

    def begin_request(self) -> None:
        """Note that a request came: the connection is not closed to make room."""
        self._connections.keep(self)

    def end_request(self) -> None:
        """Note that the request was answered."""
        self._connections.await_client(self)

    def trust(self) -> None:
        """Note that a request had a valid token."""
        if not self.has_token:
            self._connections.trust(self)

    def leave(self) -> None:
        """Free the place; the connection is closed."""
        self._connections.remove(self)
        self._is_closed = True
        for call in tuple(self._when_closed):
            call(self)

    def when_closed(self, call: Callable[[Place], object]) -> None:
        """Call a function once the connection is closed; at once if it is, and perhaps twice. Threads may use this."""
        self._when_closed.add(call)
        if self._is_closed:
            call(self)


class Connections:
    """The open connections of one process. Used in its event loop only.

    Parameters
    ----------
    limits
        How many there may be.
    is_proxy
        Whether an address is that of a proxy in front, which many clients share.
    """

    def __init__(
        self, limits: ConnectionLimits, refusals: RefusalCounts, is_proxy: Callable[[str], bool] = lambda _: False
    ) -> None:
        self.limits = limits
        self._refusals = refusals
        self._is_proxy = is_proxy
        self._all: set[Place] = set()
        self._without_token: Counter[str] = Counter()  # by address
        self._waiting: defaultdict[str, OrderedDict[Place, None]] = defaultdict(OrderedDict)  # no token, oldest first
        self._waiting_with_token: OrderedDict[Place, None] = OrderedDict()

    @property
    def count(self) -> int:
        """How many connections are open."""
        return len(self._all)

    @property
    def count_without_token(self) -> int:
        """How many of them have shown no valid token."""
        return self._without_token.total()

    def admit(self, address: str) -> Place | None:
        """Return a place for a new connection; None: there is none, close it."""
        place = Place(self, network_of(address), is_shared=self._is_proxy(address))
        if not self._make_room(place):
            self._refusals.note("connections above the limit", place.address)
            return None
        self._all.add(place)
        self._without_token[place.address] += 1
        self._waiting[place.address][place] = None
        return place

    def _make_room(self, new: Place) -> bool:
        limits = self.limits
        if (
            self._without_token[new.address] >= limits.most_of_address
            and not new.is_shared
            and not self._close_oldest_of(new.address)
        ):
            return False
        if self._without_token.total() >= limits.most_without_token and not self.close_oldest():
            return False
        return len(self._all) < limits.most or self.close_oldest(with_token=True)

    def close_oldest(self, *, with_token: bool = False) -> bool:
        """Close the connection that waits for its client longest, and say whether there was one.

        Parameters
        ----------
        with_token
            Whether to close one that has shown a token, if no other waits.
        """
        if self._waiting:
            address = max(self._waiting, key=lambda one: len(self._waiting[one]))
            return self._close_oldest_of(address)
        if with_token and self._waiting_with_token:
            self._end(next(iter(self._waiting_with_token)))
            return True
        return False

    def _close_oldest_of(self, address: str) -> bool:
        if address not in self._waiting:
            return False
        self._end(next(iter(self._waiting[address])))
        return True

    def _end(self, place: Place) -> None:
        self._refusals.note("connections closed to make room", place.address)
        self.remove(place)
        place.close()

    def keep(self, place: Place) -> None:
        """Take a connection off those that may be closed."""
        place.waits = False
        self._waiting_with_token.pop(place, None)
        if place.address in self._waiting:
            self._waiting[place.address].pop(place, None)
            if not self._waiting[place.address]:
                del self._waiting[place.address]

    def await_client(self, place: Place) -> None:
        """Add a connection to those that may be closed, as the newest."""
        if place not in self._all:
            return
        place.waits = True
        waiting = self._waiting_with_token if place.has_token else self._waiting[place.address]
        waiting[place] = None

    def trust(self, place: Place) -> None:
        """Count a connection among those that have shown a token."""
        if place in self._all:
            self._count_one_less(place)
            was_waiting = place.waits
            self.keep(place)
            place.has_token = True
            if was_waiting:
                self.await_client(place)

    def remove(self, place: Place) -> None:
        """Free a connection's place."""
        if place not in self._all:
            return
        self.keep(place)
        self._all.discard(place)
        if not place.has_token:
            self._count_one_less(place)

    def _count_one_less(self, place: Place) -> None:
        self._without_token[place.address] -= 1
        if not self._without_token[place.address]:
            del self._without_token[place.address]
