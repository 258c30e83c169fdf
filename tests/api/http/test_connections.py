from __future__ import annotations

from api.http.connections import ConnectionLimits, Connections, Place, network_of
from api.http.refusals import RefusalCounts

LIMITS = ConnectionLimits(most=10, most_without_token=6, most_of_address=3)


class Closed(list[str]):
    """The names of the connections that were closed."""

    def __init__(self, is_proxy=lambda _: False) -> None:
        self.connections = Connections(LIMITS, RefusalCounts(), is_proxy)

    def admit(self, address: str, name: str) -> Place:
        place = self.connections.admit(address)
        assert place is not None, name
        place.close = lambda: self.append(name)
        return place


def test_of_an_address_with_too_many_the_oldest_that_waits_is_closed() -> None:
    closed = Closed()
    first = closed.admit("192.0.2.1", "1")
    first.begin_request()
    for name in "2345":
        closed.admit("192.0.2.1", name)
    assert closed == ["2", "3"]
    first.end_request()
    closed.admit("192.0.2.1", "6")
    closed.admit("192.0.2.1", "7")
    assert closed == ["2", "3", "4", "5"]
    closed.admit("192.0.2.1", "8")
    assert closed == ["2", "3", "4", "5", "1"]


def test_when_all_of_an_address_are_busy_a_new_one_is_refused() -> None:
    closed = Closed()
    for name in "123":
        closed.admit("192.0.2.1", name).begin_request()
    assert closed.connections.admit("192.0.2.1") is None
    assert closed.connections.admit("192.0.2.2") is not None


def test_when_all_places_without_token_are_taken_the_address_that_has_most_loses_its_oldest() -> None:
    closed = Closed()
    for address, name in (("a", "a1"), ("b", "b1"), ("b", "b2"), ("b", "b3"), ("c", "c1"), ("a", "a2"), ("d", "d1")):
        closed.admit(address, name)
    assert closed == ["b1"]


def test_connections_with_a_token_are_closed_last_and_only_while_they_wait() -> None:
    closed = Closed()
    busy = [closed.admit(f"busy {number}", f"busy {number}") for number in range(3)]
    trusted = [closed.admit(f"trusted {number}", f"trusted {number}") for number in range(3)]
    for place in (*busy, *trusted):
        place.begin_request()
        place.trust()
    for place in trusted:
        place.end_request()
    for number in range(4):
        closed.admit(f"new {number}", f"new {number}")
    closed.admit("another", "another")
    assert closed == ["new 0"]
    for _ in range(20):
        place = closed.admit("x", "uploading")
        place.begin_request()
        place.trust()
        if len(closed) == 7 + 1:
            break
    assert closed == ["new 0", "new 1", "new 2", "new 3", "another", "trusted 0", "trusted 1", "trusted 2"]
    assert closed.connections.count == 10
    assert closed.connections.admit("y") is None  # all are in use


def test_a_proxy_is_no_address_with_too_many() -> None:
    closed = Closed(is_proxy=lambda address: address == "127.0.0.1")
    for number in range(6):
        closed.admit("127.0.0.1", str(number))
    assert closed == []


def test_places_are_free_again_however_connections_end() -> None:
    closed = Closed()
    for number in range(200):
        place = closed.admit(f"192.0.2.{number}", str(number))
        for step in (place.begin_request, place.trust, place.end_request, place.leave)[number % 4 :]:
            step()
        place.leave()
    assert closed == []
    assert closed.connections.count == 0
    for number in range(6):
        closed.admit(str(number), str(number))
    assert closed == []


def test_the_limits_follow_from_the_descriptors() -> None:
    assert ConnectionLimits.of_descriptors(256) == ConnectionLimits(most=64, most_without_token=32, most_of_address=16)
    assert ConnectionLimits.of_descriptors(20_000).most == 4096
    assert ConnectionLimits.of_descriptors(20).most_of_address == 2


def test_an_ipv6_network_counts_as_one_client() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::2:3") == "2001:db8::/64"
    assert network_of("2001:db8:0:1::1") != network_of("2001:db8::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("") == ""
