"""Accepts connections, within limits; a lack of descriptors delays new connections and ends nothing.

uvloop's own listener accepts whatever comes, and closes itself for good when no descriptor is free.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable

from api.http.connections import Connections, Place
from api.http.guarded_protocol import GuardedProtocol
from api.http.refusals import RefusalCounts

HANDSHAKE_TIMEOUT_S = 10.0
_SHUTDOWN_TIMEOUT_S = 5.0
_AT_ONCE = 32  # what is accepted before connections that are to be closed are closed
_PAUSE_S = 0.1  # when no descriptor is free
_GONE = (errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH)


class Acceptor:
    """Accepts the connections of one listening socket.

    Parameters
    ----------
    listening
        The socket; it becomes non-blocking.
    make_protocol
        Makes the protocol of one connection.
    tls
        The context for TLS; None: clear text.
    """

    def __init__(
        self,
        listening: socket.socket,
        make_protocol: Callable[[], GuardedProtocol],
        connections: Connections,
        refusals: RefusalCounts,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._make_protocol = make_protocol
        self._connections = connections
        self._refusals = refusals
        self._tls = tls
        self._opening: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        listening.setblocking(False)

    def start(self) -> None:
        """Accept connections from now on."""
        self._pause = None
        self._loop.add_reader(self._listening, self._accept)

    def stop(self) -> None:
        """Accept no more, and end the handshakes in progress."""
        self._loop.remove_reader(self._listening)
        if self._pause is not None:
            self._pause.cancel()
        for task in self._opening:
            task.cancel()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, peer = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return  # another process took it, or nothing is left
            except OSError as error:
                if error.errno not in _GONE:
                    self._wait_for_descriptors()
                    return
                continue
            self._admit(connection, str(peer[0]))

    def _wait_for_descriptors(self) -> None:
        """Free a descriptor, and try again soon. The kernel keeps the connections that wait."""
        self._refusals.note("connections that waited for a free descriptor")
        self._connections.close_oldest(with_token=True)
        self._loop.remove_reader(self._listening)
        self._pause = self._loop.call_later(_PAUSE_S, self.start)

    def _admit(self, connection: socket.socket, address: str) -> None:
        place = self._connections.admit(address)
        if place is None:
            connection.close()
            return
        task = self._loop.create_task(self._open(connection, place))
        place.close = task.cancel
        self._opening.add(task)

        def opened(task: asyncio.Task[None]) -> None:
            self._opening.discard(task)
            if task.cancelled():  # before it began
                place.leave()
                connection.close()

        task.add_done_callback(opened)

    async def _open(self, connection: socket.socket, place: Place) -> None:
        protocol = self._make_protocol()
        protocol.place = place
        connection.setblocking(False)
        try:
            if self._tls is None:
                await self._loop.connect_accepted_socket(lambda: protocol, connection)
            else:
                await self._loop.connect_accepted_socket(
                    lambda: protocol,
                    connection,
                    ssl=self._tls,
                    ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                    ssl_shutdown_timeout=_SHUTDOWN_TIMEOUT_S,
                )
        except OSError:  # ssl.SSLError is one
            self._refusals.note("failed TLS handshakes", place.address)
            place.leave()
            connection.close()
        except asyncio.CancelledError:  # closed to make room, or at the receiver's end
            place.leave()
            connection.close()
