"""Reads the body of a request straight from the connection's socket, in turns of worker threads.

What the HTTP parser has read of the body already comes first; the rest goes from the socket to the consumer, in slices.
A thread works on a body only while bytes are there. So a few threads serve any number of connections, and a slow client
occupies none.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from starlette.requests import ClientDisconnect

from api.http.slow_clients import BodyTimeout
from api.intake.body_threads import BodyThreads
from api.intake.contract import BodyConsumer, IntakeResources
from transfer.platform import SocketWatch

EXTENSION = "cryoferry.socket_body"
"""Under this name a request's `scope["extensions"]` holds its `SocketBody`."""

BUFFER_BYTES = 2 << 20
SLICE_BYTES = 8 << 20
_LINGER_S = 0.02  # a thread waits that long for more bytes before it leaves the body to the event loop
_buffers: list[memoryview] = []


@dataclass(slots=True)
class BorrowedSocket:
    """A connection's socket while a thread reads it, and how many bytes are to be read."""

    socket: socket.socket
    rest_bytes: int


class SocketLender(Protocol):
    """A connection that lends its socket to the body of its request."""

    @property
    def client_asks_first(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body."""

    def send_continue(self) -> None:
        """Send `100 Continue`."""

    def borrow_socket(self, body: SocketBody) -> AbstractContextManager[BorrowedSocket]:
        """Lend the socket, which the event loop leaves alone meanwhile."""


class Slice(NamedTuple):
    """What one turn of a thread read."""

    arrived_bytes: int
    waited_s: float
    ended: bool


def _always() -> bool:
    return True


class BodyTurns:
    """Moves a body into a consumer, in turns of a thread; one turn is enough for bytes that are there already.

    Parameters
    ----------
    consumer
        What takes the body.
    parsed
        What the parser has read of the body.
    borrowed
        Where the rest comes from; None: there is no rest.

    Attributes
    ----------
    is_open
        Whether the consumer can take bytes. If it cannot after the first turn, `wait_until_free` must be awaited.
    is_done
        Whether the body has come to its end.
    """

    def __init__(self, consumer: BodyConsumer, parsed: Sequence[bytes], borrowed: BorrowedSocket | None) -> None:
        self._consumer, self._parsed, self._borrowed = consumer, parsed, borrowed
        self.is_open = self.is_done = False

    def open(self) -> None:
        """Open the consumer, in a thread."""
        self.is_open = self._consumer.open()

    def turn(self, crowded: Callable[[], bool]) -> Slice:
        """Open the consumer if it is not open, and move at most a slice while bytes are there, in a thread.

        Parameters
        ----------
        crowded
            Whether other bodies wait for a thread: then this one does not wait for more bytes.
        """
        read = Slice(0, 0.0, ended=False)
        if not self.is_open:
            self.open()
            crowded = _always  # the event loop waits for what has not come by now
        if not self.is_open:
            return read
        if self._parsed:
            self._consumer.add(self._parsed)
            self._parsed = ()
        if self._borrowed is not None and self._borrowed.rest_bytes:
            read = _read_slice(self._borrowed, self._consumer, crowded)
        if self._borrowed is None or not self._borrowed.rest_bytes:
            self._consumer.finish()
            self.is_done = True
        return read


class SocketBody:
    """The body of one request, read from its socket.

    Parameters
    ----------
    lender
        The request's connection.
    size_bytes
        The request's Content-Length.

    Attributes
    ----------
    parsed, parsed_bytes
        What the parser has read of the body, until it is used.
    """

    def __init__(self, lender: SocketLender, size_bytes: int) -> None:
        self._lender = lender
        self.size_bytes = size_bytes
        self.parsed: list[bytes] = []
        self.parsed_bytes = 0

    async def read_into(self, consumer: BodyConsumer, resources: IntakeResources) -> None:
        """Read the body into a consumer in worker threads; see `api.intake.sources.BodySource`.

        Raises
        ------
        ClientStalled
        ClientDisconnect
            The connection ended before the body did.
        """
        timeout = BodyTimeout(resources.body_timeout_s)
        if self.parsed_bytes == self.size_bytes:
            await self._read(consumer, None, timeout, resources.threads)
            return
        with self._lender.borrow_socket(self) as borrowed:  # the parser reads no more of this body
            await self._read(consumer, borrowed, timeout, resources.threads)

    async def _read(
        self, consumer: BodyConsumer, borrowed: BorrowedSocket | None, timeout: BodyTimeout, threads: BodyThreads
    ) -> None:
        def crowded() -> bool:
            return threads.turns.is_crowded

        turns = BodyTurns(consumer, self.parsed, borrowed)
        self.parsed = []  # do not keep a slow client's first bytes in memory
        if borrowed is not None and self._lender.client_asks_first:
            await threads.run(turns.open)
            await _wait_until_open(turns, consumer)
            self._lender.send_continue()
            await _readable(borrowed.socket, timeout)
        while True:
            read = await threads.run(turns.turn, crowded)
            timeout.note(read.arrived_bytes, read.waited_s)
            if turns.is_done:
                return
            if read.ended:
                raise ClientDisconnect
            await _wait_until_open(turns, consumer)
            if borrowed is not None:
                await _readable(borrowed.socket, timeout)


async def _wait_until_open(turns: BodyTurns, consumer: BodyConsumer) -> None:
    if not turns.is_open:
        await consumer.wait_until_free()
        turns.is_open = True


async def _readable(source: socket.socket, timeout: BodyTimeout) -> None:
    """Wait until a thread would find bytes, or the end of the connection."""
    loop, began = asyncio.get_running_loop(), time.monotonic()
    ready = asyncio.Event()
    loop.add_reader(source, ready.set)
    try:
        async with asyncio.timeout(timeout.left_s()):
            await ready.wait()
    except TimeoutError as error:
        raise timeout.stalled() from error
    finally:
        loop.remove_reader(source)
    timeout.note(0, time.monotonic() - began)


def _read_slice(borrowed: BorrowedSocket, consumer: BodyConsumer, crowded: Callable[[], bool]) -> Slice:
    """Move at most a slice of a body while bytes are there, in a thread."""
    with _buffer() as buffer:
        return _read_through(buffer, borrowed, consumer, crowded)


def _read_through(
    buffer: memoryview, borrowed: BorrowedSocket, consumer: BodyConsumer, crowded: Callable[[], bool]
) -> Slice:
    arrived, waited_s = 0, 0.0
    while borrowed.rest_bytes and arrived < SLICE_BYTES:
        try:
            count = borrowed.socket.recv_into(buffer, min(borrowed.rest_bytes, BUFFER_BYTES))
        except BlockingIOError:
            if crowded():
                break
            began = time.monotonic()
            more = SocketWatch(borrowed.socket, for_input=True).wait(_LINGER_S) is not None
            waited_s += time.monotonic() - began
            if more:
                continue
            break
        except ConnectionError:
            count = 0
        if not count:
            return Slice(arrived, waited_s, ended=True)
        arrived += count
        borrowed.rest_bytes -= count
        consumer.add([buffer[:count]])
    return Slice(arrived, waited_s, ended=False)


@contextlib.contextmanager
def _buffer() -> Iterator[memoryview]:
    """Give out a buffer. There are as many buffers as threads have ever read bodies at the same time."""
    buffer = _buffers.pop() if _buffers else memoryview(bytearray(BUFFER_BYTES))
    yield buffer
    _buffers.append(buffer)
