from __future__ import annotations

import pytest

from api.http.client_addresses import ClientAddresses


def of(addresses: ClientAddresses, peer: str, *values: str) -> str:
    return addresses.of_request(peer, [(b"host", b"x"), *((b"x-forwarded-for", value.encode()) for value in values)])


def test_without_a_proxy_the_field_counts_for_nothing() -> None:
    assert of(ClientAddresses(), "127.0.0.1", "198.51.100.7") == "127.0.0.1"
    assert of(ClientAddresses(), "192.0.2.1", "198.51.100.7") == "192.0.2.1"


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.9", "::ffff:10.0.0.1", "fd00::9"])
def test_a_proxy_on_this_machine_or_network_names_its_client_at_the_end(peer) -> None:
    addresses = ClientAddresses(behind_proxy=True)
    assert of(addresses, peer, "198.51.100.7") == "198.51.100.7"
    assert of(addresses, peer, "1.2.3.4, 198.51.100.7") == "198.51.100.7"  # the first one is what the client says
    assert of(addresses, peer, "1.2.3.4", "10.5.5.5") == "10.5.5.5"  # a client on a private network is no proxy
    assert of(addresses, peer, "198.51.100.7:443") == "198.51.100.7"
    assert of(addresses, peer, "[2001:db8::7]:443") == "2001:db8::/64"


def test_another_machine_is_not_believed() -> None:
    addresses = ClientAddresses(behind_proxy=True)
    assert of(addresses, "192.0.2.1", "198.51.100.7") == "192.0.2.1"
    assert not addresses.is_proxy("192.0.2.1")


def test_of_named_proxies_the_last_entry_that_is_none_of_them_counts() -> None:
    addresses = ClientAddresses(behind_proxy=True, proxies=["203.0.113.0/24", "10.0.0.1"])
    assert of(addresses, "203.0.113.5", "1.2.3.4, 198.51.100.7, 10.0.0.1, 203.0.113.9") == "198.51.100.7"
    assert of(addresses, "127.0.0.1", "198.51.100.7") == "127.0.0.1"  # not named
    assert of(addresses, "10.0.0.1", "203.0.113.1") == "10.0.0.1"


@pytest.mark.parametrize("value", ["", ",", "unknown", "198.51.100.7, nonsense", "x" * 5000, "\xff"])
def test_what_is_no_address_leaves_the_proxys_own(value) -> None:
    assert of(ClientAddresses(behind_proxy=True), "127.0.0.1", value) == "127.0.0.1"
