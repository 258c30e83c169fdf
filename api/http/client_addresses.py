"""Tells which address a request came from, also behind a proxy."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from api.http.connections import network_of

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FORWARDED_FOR = b"x-forwarded-for"
_ON_THIS_NETWORK: tuple[_Network, ...] = tuple(
    map(
        ipaddress.ip_network,
        ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7"),
    )
)


class ClientAddresses:
    """Takes a client's address from the connection, or from `X-Forwarded-For` if a trusted proxy sent it.

    Parameters
    ----------
    behind_proxy
        Whether there is a proxy. Without one, `X-Forwarded-For` is what a client says of itself and counts for nothing.
    proxies
        Addresses or networks of the proxies. None given: one proxy, on loopback or a private network, and the last
        entry of `X-Forwarded-For` is its client.
    """

    def __init__(self, *, behind_proxy: bool = False, proxies: Iterable[str] = ()) -> None:
        self._behind_proxy = behind_proxy
        self._named: tuple[_Network, ...] = tuple(ipaddress.ip_network(one, strict=False) for one in proxies)

    def is_proxy(self, address: str) -> bool:
        """Return whether a connection from this address may name the address of its client."""
        return self._behind_proxy and _is_in(address, self._named or _ON_THIS_NETWORK)

    def of_request(self, peer: str, fields: Iterable[tuple[bytes, bytes]]) -> str:
        """Return the address of a request's client, as `network_of` returns it.

        Parameters
        ----------
        peer
            Where the connection came from.
        fields
            The fields of the request's head, names in lower case.
        """
        if not self.is_proxy(peer):
            return network_of(peer)
        named = b",".join(value for name, value in fields if name == _FORWARDED_FOR)
        entries = [_without_port(entry.strip()) for entry in named.decode("latin-1").split(",")]
        for entry in reversed(entries):  # each proxy adds what it saw at the end
            if not _is_address(entry):
                break  # nothing before it can be trusted either
            if not self._named or not _is_in(entry, self._named):
                return network_of(entry)
        return network_of(peer)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_in(address: str, networks: Sequence[_Network]) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in network for network in networks)


def _without_port(entry: str) -> str:
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
