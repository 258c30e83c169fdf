"""Opens TCP connections within a time that includes the lookup of the name.

The system's lookup has no limit of its own: it may wait for dead name servers for minutes. It runs in a thread that is
left behind when its time is over. While it runs, nobody begins another one for the same name.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from transfer.connections.patience import Patience

T = TypeVar("T")

_running: dict[tuple[str, int], Future[list[str]]] = {}
_lock = threading.Lock()


def opened(
    host: str,
    port: int,
    longest_s: float,
    patience: Patience,
    open_one: Callable[[str, float], T],
    failures: tuple[type[Exception], ...] = (OSError,),
) -> T:
    """Open a connection to the first of a host's addresses that takes one.

    Parameters
    ----------
    longest_s
        How long all of this may take, in s.
    patience
        What it takes from; it may have less left.
    open_one
        Opens a connection to one address within a number of seconds.
    failures
        What it raises if that address takes none.

    Raises
    ------
    OSError
        The name was not found, or not in time.
    Exception
        One of `failures`, for the last address.
    """
    limit = Patience(patience.left_s(longest_s))
    with patience.waiting():
        with limit.waiting():
            addresses = _addresses(host, port, limit.left_s())
        for behind in range(len(addresses) - 1, -1, -1):
            share_s = limit.left_s() / (behind + 1)  # an address that does not answer leaves time for the others
            try:
                with limit.waiting():
                    return open_one(addresses[-1 - behind], share_s)
            except failures:
                if behind == 0:
                    raise
    raise OSError(f"the name {host} has no address")


def connected_socket(host: str, port: int, longest_s: float, patience: Patience) -> socket.socket:
    """Return a connected socket, see `opened`."""
    return opened(host, port, longest_s, patience, lambda address, s: socket.create_connection((address, port), s))


def _addresses(host: str, port: int, longest_s: float) -> list[str]:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _looked_up(host, port, longest_s)
    return [host]


def _looked_up(host: str, port: int, longest_s: float) -> list[str]:
    key = (host, port)
    with _lock:
        lookup = _running.get(key)
        if lookup is None:
            lookup = _running[key] = Future()
            threading.Thread(target=_look_up, args=(key, lookup), name="cryoferry-lookup", daemon=True).start()
    try:
        return lookup.result(longest_s)
    except TimeoutError as error:
        raise TimeoutError(f"the name {host} was not found within {longest_s:.1f} s") from error


def _look_up(key: tuple[str, int], lookup: Future[list[str]]) -> None:
    try:
        found = socket.getaddrinfo(*key, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        lookup.set_exception(error)
    else:
        lookup.set_result(list(dict.fromkeys(_address(each[4]) for each in found)))
    finally:
        with _lock:
            del _running[key]


def _address(found: tuple[object, ...]) -> str:
    """Return an address as text; that of a link alone names its interface."""
    scope = found[3] if len(found) == 4 else 0
    return f"{found[0]}%{scope}" if scope else str(found[0])
