"""Has the requests of one client wait for each other, so that those of others find a thread and memory.

A request for JSON needs a thread, and its answer stays in memory until the client has read it. Without limits, 500
requests of one token for a list had the others wait for 10 s, and took 1 GB while nobody read the answers.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from starlette.types import Message, Send

from transfer.wire.errors import ReceiverBusy

HANDLED_AT_ONCE = 12
"""Requests of one client that are handled at once. FastAPI has 40 threads for all."""
LARGE_ANSWERS_AT_ONCE = 32
"""Requests of one client that are handled, or whose large answers are being read."""
_MOST_WAITING = 256
_LONGEST_WAIT_S = 10.0
_PIECE_BYTES = 64 << 10
"""Of a larger answer, so much is given to the connection at a time. uvicorn waits before the next if nobody reads."""


@dataclass(slots=True)
class _Places:
    handled: asyncio.Semaphore
    held: asyncio.Semaphore
    users: int = 0
    waiting: int = 0


class RequestTurns:
    """Gives each request its turn. Used in one event loop only."""

    def __init__(self) -> None:
        self._places: dict[str, _Places] = {}

    def of(self, client: str, *, is_known: bool) -> Turn:
        """Return the turn of a request; its `end` must be called.

        Parameters
        ----------
        client
            Who makes it: a token, or an address.
        is_known
            Whether it is a token that was valid within the hour.
        """
        places = self._places.get(client)
        if places is None:
            places = _Places(asyncio.Semaphore(HANDLED_AT_ONCE), asyncio.Semaphore(LARGE_ANSWERS_AT_ONCE))
            self._places[client] = places
        places.users += 1
        return Turn(self, client, places, is_known)

    def left(self, client: str) -> None:
        """Forget a client that has no request."""
        places = self._places[client]
        places.users -= 1
        if not places.users:
            del self._places[client]

    @property
    def clients(self) -> int:
        """How many clients have requests now."""
        return len(self._places)


@dataclass(slots=True)
class Turn:
    """The turn of one request."""

    turns: RequestTurns
    client: str
    places: _Places
    is_known: bool
    _taken: list[asyncio.Semaphore] = field(default_factory=list)

    async def begin(self) -> None:
        """Wait until the request may be handled.

        Raises
        ------
        ReceiverBusy
            That would take too long.
        """
        places = self.places
        if places.waiting >= _MOST_WAITING:
            raise self._busy()
        places.waiting += 1
        try:
            async with asyncio.timeout(_LONGEST_WAIT_S):
                for semaphore in (places.held, places.handled):
                    await semaphore.acquire()
                    self._taken.append(semaphore)
        except TimeoutError as error:
            raise self._busy() from error
        finally:
            places.waiting -= 1

    def _busy(self) -> ReceiverBusy:
        return ReceiverBusy("the receiver handles too many other requests of this client at this moment")

    def sending(self, send: Send) -> Send:
        """Return what sends the answer: a large one in pieces. What the request no longer needs is free then."""

        async def send_in_pieces(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
                return
            self._free(self.places.handled)
            body = message.get("body", b"")
            if message.get("more_body", False) or len(body) <= _PIECE_BYTES:  # a file holds no more than one block
                self._free(self.places.held)
                await send(message)
                return
            for first in range(0, len(body), _PIECE_BYTES):
                piece, rest = body[first : first + _PIECE_BYTES], len(body) - first - _PIECE_BYTES
                await send({"type": message["type"], "body": piece, "more_body": rest > 0})

        return send_in_pieces

    def _free(self, semaphore: asyncio.Semaphore) -> None:
        if semaphore in self._taken:
            self._taken.remove(semaphore)
            semaphore.release()

    def end(self) -> None:
        """Note that the request was answered, or was given up."""
        while self._taken:
            self._taken.pop().release()
        self.turns.left(self.client)
