"""Takes the bodies of files off uvicorn's hands: a worker thread reads them straight from the socket.

uvicorn copies a body three times before an application sees it. `SocketProtocol` stops reading at the end of a PUT's
head instead, and offers the request a `SocketBody` (`scope["extensions"]`). What the parser has read of the body
already is handed over first; the rest goes from the socket through the sink, in slices: a thread works on a body only
while bytes are there, so that a few threads serve any number of connections, and a slow one costs none. Then the parser
stands where the body ends, and the connection goes on as if uvicorn had read all of it.

A request that never asks for its body is left to uvicorn, which drains it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import httptools
from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.flow_control import FlowControl

from api.http.slow_clients import BodyTimeout, GuardedProtocol
from api.intake.contract import BodyTaker
from transfer.platform import SocketWatch

log = logging.getLogger(__name__)

DataPlane = Literal["auto", "socket", "stream"]

TESTED_UVICORN = "0.54"
EXTENSION = "cryoferry.socket_body"

BUFFER_BYTES = 2 << 20
SLICE_BYTES = 8 << 20
_LINGER_S = 0.02  # a thread waits that long for more before it leaves a body to the event loop
_FILES = re.compile(r"/v1/(files/.*|uploads/[^/]+/content)", re.DOTALL)
_NOTHING = bytes(1 << 16)
_buffers: list[memoryview] = []


class HeldFlow(FlowControl):
    """Flow control that does not resume reading while a thread owns the socket."""

    held = False

    def resume_reading(self) -> None:
        """Read again, unless it is not ours to read."""
        if not self.held:
            super().resume_reading()


@dataclass(slots=True)
class LentSocket:
    """A connection's socket in a thread's hands, and what is to be read from it."""

    socket: socket.socket
    rest_bytes: int


class Slice(NamedTuple):
    """What one turn of a thread brought."""

    arrived_bytes: int
    waited_s: float
    ended: bool


def _always() -> bool:
    return True


class Pouring:
    """A body's way into its place, in turns of a thread; one is enough for what is there already.

    Parameters
    ----------
    parsed
        What came of it with its head.
    lent
        Where the rest comes from; None: there is none.

    Attributes
    ----------
    is_ready
        Whether the place can be filled; if it is not after its beginning, `ready` of the taker is to be awaited.
    """

    def __init__(self, taker: BodyTaker, parsed: Sequence[bytes], lent: LentSocket | None) -> None:
        self._taker, self._parsed, self._lent = taker, parsed, lent
        self.is_ready = self.is_done = False

    def begin(self) -> None:
        """Open the place, in a thread."""
        self.is_ready = self._taker.begin()

    def turn(self, crowded: Callable[[], bool]) -> Slice:
        """Open the place, if that is still to be done, and move at most a slice, in a thread, while bytes are there."""
        brought = Slice(0, 0.0, ended=False)
        if not self.is_ready:
            self.begin()
            crowded = _always  # what has not come by now, the event loop waits for
        if not self.is_ready:
            return brought
        if self._parsed:
            self._taker.add(self._parsed)
            self._parsed = ()
        if self._lent is not None and self._lent.rest_bytes:
            brought = _take(self._lent, self._taker, crowded)
        if self._lent is None or not self._lent.rest_bytes:
            self._taker.end()
            self.is_done = True
        return brought


class SocketBody:
    """The body of one request, on its way.

    Parameters
    ----------
    protocol
        Its connection.
    size_bytes
        Its Content-Length.
    """

    def __init__(self, protocol: SocketProtocol, size_bytes: int) -> None:
        self._protocol = protocol
        self.size_bytes = size_bytes
        self.parsed: list[bytes] = []  # what the parser read of it, until it is taken
        self.parsed_bytes = 0

    async def pour(self, taker: BodyTaker, timeout_s: float, threads: CapacityLimiter) -> None:
        """Hand the body to a taker in worker threads.

        Raises
        ------
        ClientStalled
        ClientDisconnect
            The connection ended in the middle.
        """
        if self.parsed_bytes == self.size_bytes:
            await self._pour(taker, None, BodyTimeout(timeout_s), threads)
            return
        with self._protocol.lend_socket(self) as lent:  # from here on nothing is added to what was parsed
            await self._pour(taker, lent, BodyTimeout(timeout_s), threads)

    async def _pour(
        self, taker: BodyTaker, lent: LentSocket | None, timeout: BodyTimeout, threads: CapacityLimiter
    ) -> None:
        def crowded() -> bool:
            return threads.statistics().tasks_waiting > 0

        pouring = Pouring(taker, self.parsed, lent)
        self.parsed = []  # a slow client's first bytes are not kept for its sake
        if lent is not None and self._protocol.client_asks_first:
            await to_thread.run_sync(pouring.begin, limiter=threads)
            await self._wait_for_place(pouring, taker)
            self._protocol.tell_to_continue()
            await _readable(lent.socket, timeout)
        while True:
            turn = await to_thread.run_sync(pouring.turn, crowded, limiter=threads)
            timeout.note(turn.arrived_bytes, turn.waited_s)
            if pouring.is_done:
                return
            if turn.ended:
                raise ClientDisconnect
            await self._wait_for_place(pouring, taker)
            if lent is not None:
                await _readable(lent.socket, timeout)

    async def _wait_for_place(self, pouring: Pouring, taker: BodyTaker) -> None:
        if not pouring.is_ready:
            await taker.ready()
            pouring.is_ready = True


async def _readable(source: socket.socket, timeout: BodyTimeout) -> None:
    """Wait until a thread would find bytes, or the connection's end."""
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


def _take(lent: LentSocket, taker: BodyTaker, crowded: Callable[[], bool]) -> Slice:
    """Move at most a slice of a body, in a thread, while bytes are there."""
    with _buffer() as buffer:
        return _take_through(buffer, lent, taker, crowded)


def _take_through(buffer: memoryview, lent: LentSocket, taker: BodyTaker, crowded: Callable[[], bool]) -> Slice:
    arrived, waited_s = 0, 0.0
    while lent.rest_bytes and arrived < SLICE_BYTES:
        try:
            count = lent.socket.recv_into(buffer, min(lent.rest_bytes, BUFFER_BYTES))
        except BlockingIOError:
            if crowded():
                break
            began = time.monotonic()
            more = SocketWatch(lent.socket, for_input=True).wait(_LINGER_S) is not None
            waited_s += time.monotonic() - began
            if more:
                continue
            break
        except ConnectionError:
            count = 0
        if not count:
            return Slice(arrived, waited_s, ended=True)
        arrived += count
        lent.rest_bytes -= count
        taker.add([buffer[:count]])
    return Slice(arrived, waited_s, ended=False)


@contextlib.contextmanager
def _buffer() -> Iterator[memoryview]:
    """Hand out a buffer; there are as many as threads read bodies at a time, whichever threads these are."""
    buffer = _buffers.pop() if _buffers else memoryview(bytearray(BUFFER_BYTES))
    yield buffer
    _buffers.append(buffer)


class SocketProtocol(GuardedProtocol):
    """uvicorn's HTTP/1.1, which offers the bodies of files to threads."""

    _body: SocketBody | None = None  # of the request that is being parsed
    _dropping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Keep the flow from resuming behind a thread's back."""
        super().connection_made(transport)
        self.flow = HeldFlow(transport)

    def data_received(self, data: bytes) -> None:
        """Take what came; of a file's body no more than came with its head."""
        super().data_received(data)
        if self._body is not None and not self.cycle.response_complete and not self.transport.is_closing():
            self.flow.pause_reading()

    def on_message_begin(self) -> None:
        """Begin a request; it has no body yet."""
        self._body = None
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Offer the request its body, if it carries a file."""
        size = self._size_bytes()
        if size:
            self._body = SocketBody(self, size)
            self.scope["extensions"] = {EXTENSION: self._body}  # type: ignore[dict-item]  # no dict, but ours
        super().on_headers_complete()

    def _size_bytes(self) -> int:
        """Return the length of a body that a thread may read; 0: none (over TLS a socket holds other bytes)."""
        if self.scheme != "http" or self.parser.get_method() != b"PUT" or self.parser.should_upgrade():
            return 0
        names = dict(self.headers)
        length = names.get(b"content-length", b"")
        path = httptools.parse_url(self.url).path or b""
        if b"transfer-encoding" in names or not length.isdigit() or not _FILES.match(path.decode("ascii")):
            return 0
        return int(length)

    def on_body(self, body: bytes) -> None:
        """Keep what came with the head; what nobody asked for is dropped with the answer."""
        if self._dropping:
            return
        if self._body is None:
            super().on_body(body)
        elif not self.cycle.response_complete:
            self._body.parsed.append(body)
            self._body.parsed_bytes += len(body)
            self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        """End a request."""
        self._body = None
        super().on_message_complete()

    @property
    def client_asks_first(self) -> bool:
        """Whether the client of an unfinished body waits for a word before it sends it."""
        return self.cycle.waiting_for_100_continue  # the body's own cycle: nothing behind it has been parsed

    def tell_to_continue(self) -> None:
        """Say that word."""
        self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.cycle.waiting_for_100_continue = False

    @contextlib.contextmanager
    def lend_socket(self, body: SocketBody) -> Iterator[LentSocket]:
        """Hand out the connection's socket, which the event loop leaves alone meanwhile.

        Raises
        ------
        ClientDisconnect
        """
        if self.transport.is_closing():
            raise ClientDisconnect
        self.flow.pause_reading()
        self.flow.held = True  # type: ignore[attr-defined]  # a HeldFlow
        # A descriptor of its own: it stays what it is, whatever becomes of the connection.
        with self.transport.get_extra_info("socket").dup() as duplicate:
            lent = LentSocket(duplicate, body.size_bytes - body.parsed_bytes)
            try:
                yield lent
            finally:
                self._take_back(body, lent.rest_bytes)

    def _take_back(self, body: SocketBody, rest_bytes: int) -> None:
        """Go on behind what was read of a body.

        The parser has seen only its beginning. Where all of it was read, a fresh parser begins with the next request;
        where the rest is still to come, this one is told of as many bytes as were read.
        """
        self.flow.held = False  # type: ignore[attr-defined]
        if self not in self.connections:  # it is lost meanwhile
            return
        if rest_bytes == 0:
            self.on_message_complete()
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            return
        self._dropping = True
        unseen = body.size_bytes - body.parsed_bytes - rest_bytes
        while unseen:
            self.parser.feed_data(_NOTHING[:unseen])
            unseen -= min(unseen, len(_NOTHING))
        self._dropping = False


def protocol_for(plane: DataPlane) -> type[GuardedProtocol] | str:
    """Return what `uvicorn.Config(http=…)` is given for a data plane; say so where the best one must be left out."""
    version = importlib.metadata.version("uvicorn")
    known = version.startswith(f"{TESTED_UVICORN}.")
    if plane == "auto" and not known:
        log.warning(
            "bodies go through uvicorn %s, slower: reading them in threads was tested with %s only",
            version,
            TESTED_UVICORN,
        )
        return "httptools"
    return GuardedProtocol if plane == "stream" else SocketProtocol
