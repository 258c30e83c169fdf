"""The open connections to a receiver, kept from one task, and one file, to the next."""

from __future__ import annotations

from collections.abc import Callable

from transfer.connections.contract import Connection
from transfer.connections.tcp import TcpInfo


class ConnectionPool:
    """Connections that workers take and give back. Not thread-safe: the caller holds a lock.

    Parameters
    ----------
    connect
        Returns a new connection.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._all: list[Connection] = []
        self._idle: list[Connection] = []
        self._wants_bbr = False

    def take(self) -> Connection:
        """Return a connection that is not in use: the one that was given back last, or a new one."""
        if self._idle:
            return self._idle.pop()
        connection = self._connect()
        self._all.append(connection)
        if self._wants_bbr:
            connection.use_bbr()
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep a connection, still open, for the next one who takes one."""
        self._idle.append(connection)

    def use_bbr(self) -> None:
        """Ask for BBR on every connection, now and when it is made."""
        self._wants_bbr = True
        for connection in self._all:
            connection.use_bbr()

    def samples(self) -> list[tuple[int, TcpInfo]]:
        """Return the kernel's figures for each connection that is open, with a number that stays the same."""
        return [(number, info) for number, connection in enumerate(self._all) if (info := connection.info())]

    def congestion_controls(self) -> set[str]:
        """Return the names of the congestion controls in use, as far as they are known."""
        return {name for connection in self._all if (name := connection.congestion_control) is not None}

    def close(self) -> None:
        """Close every connection."""
        for connection in self._all:
            connection.close()
