"""Decides which proxy requests to a receiver go through, from the environment. All requests go the same way.

A URL with http:// uses none: a proxy would see the token, which is not encrypted.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.request import getproxies, proxy_bypass

import httpx

from transfer.wire.errors import BadProxy

_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_SYSTEM = "the system's settings"
_SOCKS = ("socks5", "socks5h")
_WRITE_IT = (
    "Write it as http://HOST:PORT, https://HOST:PORT or socks5h://HOST:PORT, with USER:PASSWORD@ before the host"
)
_ENCODE = "; characters such as @ : / # in a password are written as %40 %3A %2F %23."


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and where it is named.

    Attributes
    ----------
    url
        With its password; never to be shown.
    variable
        The variable of the environment that names it.
    """

    url: httpx.URL
    variable: str

    def __str__(self) -> str:
        """Return what people may see."""
        return f"{_shown(self.url)} (from {self.variable})"


def proxy_for(url: httpx.URL, environment: Mapping[str, str] | None = None) -> Proxy | None:
    """Return the proxy for a receiver's URL; None: it is reached without one.

    `https_proxy` counts before `HTTPS_PROXY`, then `all_proxy`, `ALL_PROXY`; an empty variable counts as not set.
    `no_proxy` (before `NO_PROXY`) names hosts that are reached without a proxy.

    Parameters
    ----------
    environment
        None: that of this process, and on Windows and macOS the system's settings where it names no proxy.

    Raises
    ------
    BadProxy
        The proxy that is named cannot be used.
    """
    if url.scheme != "https":
        return None
    variables = os.environ if environment is None else environment
    excluded = variables.get("no_proxy") or variables.get("NO_PROXY") or ""
    if _is_excluded(url, excluded):
        return None
    for name in _VARIABLES:
        if value := variables.get(name, "").strip():
            return _proxy(value, name, url.host)
    of_system = getproxies().get("https") if environment is None else None
    if of_system and not proxy_bypass(url.host):
        return _proxy(of_system, _SYSTEM, url.host)
    return None


def _proxy(value: str, variable: str, receiver: str) -> Proxy:
    scheme, separator, _ = value.partition("://")
    without = f"If the receiver is reached without a proxy, set NO_PROXY={receiver}."
    try:
        url = httpx.URL(value if separator else f"http://{value}")
        if url.port is not None and not 0 < url.port < 1 << 16:
            raise httpx.InvalidURL("its port is not from 1 to 65535")
        if not url.host or " " in value or not value.isprintable():
            raise httpx.InvalidURL("it has no host" if not url.host else "it has a character that a URL cannot have")
    except (httpx.InvalidURL, ValueError) as error:
        why = "its port is not a number from 1 to 65535" if "port" in str(error).lower() else "it is not a URL"
        raise BadProxy(f"{variable} names no usable proxy: {why}", hint=f"{_WRITE_IT}{_ENCODE} {without}") from error
    shown = f"{variable}={_shown(url)}"
    if scheme.lower().startswith("socks") and url.scheme not in _SOCKS:
        raise BadProxy(
            f"{shown}: {url.scheme} is not supported", hint=f"Write socks5h:// if the proxy speaks it. {without}"
        )
    if url.scheme not in ("http", "https", *_SOCKS):
        raise BadProxy(f"{shown}: {url.scheme}:// is no kind of proxy", hint=f"{_WRITE_IT}{_ENCODE} {without}")
    if url.scheme in _SOCKS and importlib.util.find_spec("socksio") is None:
        raise BadProxy(
            f"{shown}: a SOCKS proxy needs the package socksio, which is not installed here",
            hint=f"Install cryoferry[socks] (or `pip install socksio`), or name an HTTP proxy. {without}",
        )
    return Proxy(url, variable)


def _shown(url: httpx.URL) -> str:
    return str(url.copy_with(username=None, password=None)).rstrip("/")


def _is_excluded(url: httpx.URL, excluded: str) -> bool:
    """Return whether a list of hosts, such as that of NO_PROXY, names the host of a URL.

    Entries are separated by commas or spaces: `*`, a name (it and what is below it; a leading dot or `*.` changes
    nothing), an address, a network such as 10.0.0.0/8, each with a port or without.
    """
    host, port = url.host.rstrip(".").lower(), url.port or 443
    return any(_names(entry, host, port) for entry in re.split(r"[,\s]+", excluded.lower()) if entry)


def _names(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    entry = entry.partition("://")[2] or entry
    is_address = _is_address(host)
    if "/" in entry:
        try:
            return is_address and ipaddress.ip_address(host) in ipaddress.ip_network(
                entry.replace("[", "").replace("]", ""), strict=False
            )
        except ValueError:
            entry = entry.partition("/")[0]
    if not _is_address(entry):  # an IPv6 address has colons of its own
        name, separator, number = entry.rpartition(":")
        if separator and number.isdecimal():
            if int(number) != port:
                return False
            entry = name
    entry = entry.strip("[]").rstrip(".")
    if _is_address(entry):
        return is_address and ipaddress.ip_address(entry) == ipaddress.ip_address(host)
    entry = entry.removeprefix("*").removeprefix(".")
    return bool(entry) and (host == entry or (not is_address and host.endswith(f".{entry}")))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
