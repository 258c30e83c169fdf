"""uvicorn's server as the receiver has it, without the pauses of 0.1 s at its end: a thousand tests wait for them.

Tests of processes run `ReceiverServer` itself.
"""

from __future__ import annotations

import asyncio
import socket

from api.server import ReceiverServer

_POLL_S = 0.01


class QuickServer(ReceiverServer):
    """A server that notices at once that it is to end."""

    async def main_loop(self) -> None:
        """Serve until it is to end; uvicorn's own work is done once a second, as uvicorn does it."""
        rounds = 0
        while not self.should_exit:
            if rounds % round(1 / _POLL_S) == 0:
                await self.on_tick(0)
            rounds += 1
            await asyncio.sleep(_POLL_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in the order of uvicorn and of the receiver."""
        for acceptor in self._acceptors:
            acceptor.stop()
        for listening in sockets or ():
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(_POLL_S)
        await self._wait_tasks_to_complete()
        await self.lifespan.shutdown()
