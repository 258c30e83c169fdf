"""Decides to which receivers a token may be sent: over https to any, in clear text only to this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from transfer.wire.errors import BadUrl


def is_loopback(host: str) -> bool:
    """Return whether a host name or an address, with or without `[]`, means this machine and nothing else.

    `localhost` in upper or lower case, 127.0.0.0/8, ::1, and these IPv4 addresses written as IPv6 (::ffff:127.0.0.1)
    do. A name that ends in a dot does not: the system looks it up in DNS, so another machine decides what it means.
    """
    if host.lower() == "localhost":
        return True
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def check_url(url: str, *, clear_text: bool = False) -> str:
    """Return the receiver's URL if a token may be sent there: https, or http to this machine.

    Parameters
    ----------
    url
        The URL as the user wrote it.
    clear_text
        The user has decided that http to other machines is safe, for example over a VPN.

    Raises
    ------
    BadUrl
    """
    # A URL with such characters means different hosts to different programs.
    if not url.isprintable() or " " in url or "\\" in url:
        raise BadUrl(f"{url!r} has a character that a URL cannot have")
    try:
        parsed = urlsplit(url)
        host, _ = parsed.hostname, parsed.port
    except ValueError as error:
        raise BadUrl(f"{url!r}: {error}") from error
    if parsed.scheme not in ("http", "https") or not host:
        raise BadUrl(f"{url!r} is not a receiver's URL")
    if "@" in parsed.netloc or "?" in url or "#" in url:
        raise BadUrl("a receiver's URL has no user, password, ? or #")
    if parsed.scheme == "http" and not clear_text and not is_loopback(host):
        raise BadUrl(
            f"http://{host}: the token would cross the network in clear text",
            hint=f"Use https://{host}. If the network in between is a VPN or private, add --clear-text.",
        )
    return url
