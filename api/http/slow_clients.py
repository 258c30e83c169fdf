"""Disconnects clients that are too slow: while they send the head of a request, send a body, or read an answer.

A request's head is bounded in time and size by `ClientLimits`, from its first byte (on a new connection: from the
connection's start) to its last. The same limits hold for the rest of a body whose request was answered before that
rest came. uvicorn's own timeout of idle connections ends with the first byte that comes.
`BodyTimeout` bounds how long the receiver waits for a body. A client that reads nothing of an answer for
`ClientLimits.write_timeout_s` loses its connection.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from transfer.wire.errors import BadRequest, ClientStalled
from transfer.wire.problems import PROBLEM_JSON, problem_of

MIN_BODY_BYTES_PER_S = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """How long the receiver waits for a client outside a body, and how large a request's head may be.

    Attributes
    ----------
    head_timeout_s
        From the first byte of a request's head to its last.
    max_head_bytes
        A longer head is refused.
    write_timeout_s
        How long a client may read nothing of an answer.
    """

    head_timeout_s: float = 15.0
    max_head_bytes: int = 64 << 10
    write_timeout_s: float = 60.0


class BodyTimeout:
    """Decides how much longer to wait for a body.

    Only the time of waiting counts, not the time that the receiver needs for its disk. Over each `timeout_s` of
    waiting, `MIN_BODY_BYTES_PER_S` must arrive on average: a single byte does not start the time again.

    Parameters
    ----------
    timeout_s
        How long to wait for a client that sends nothing.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._due_bytes = timeout_s * MIN_BODY_BYTES_PER_S
        self._arrived_bytes = 0
        self._waited_s = 0.0

    def left_s(self) -> float:
        """Return how much longer to wait, in s.

        Raises
        ------
        ClientStalled
            The time is over.
        """
        left = self._timeout_s - self._waited_s
        if left <= 0:
            raise self.stalled()
        return left

    def note(self, arrived_bytes: int, waited_s: float) -> None:
        """Count the bytes that arrived, and how long the receiver waited for them."""
        self._arrived_bytes += arrived_bytes
        self._waited_s += waited_s
        if self._arrived_bytes >= self._due_bytes:
            self._arrived_bytes, self._waited_s = 0, 0.0

    def stalled(self) -> ClientStalled:
        """Return the error that ends the waiting."""
        return ClientStalled(f"only {self._arrived_bytes} bytes of the body arrived in {self._timeout_s:g} s")


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with limits for slow and hostile clients."""

    limits: ClassVar[ClientLimits] = ClientLimits()

    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start the time for the first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._head_came()
        self._written()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the time for the client to read."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.limits.write_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the time for the client to read."""
        self._written()
        super().resume_writing()

    def _written(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def data_received(self, data: bytes) -> None:
        """Take the bytes that arrived. Bytes that do not complete a head do not extend its time."""
        if self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._await_head()
        super().data_received(data)
        if self._head_timer is not None and not self._in_body and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.max_head_bytes:
                self.send_400_response("The request's head is too long.")

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are not an HTTP request, with a problem."""
        body = problem_of(BadRequest(msg)).model_dump_json().encode()
        fields = f"content-type: {PROBLEM_JSON}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(f"HTTP/1.1 400 Bad Request\r\n{fields}".encode("ascii") + body)
        self.transport.close()

    def on_message_begin(self) -> None:
        """Begin a head, perhaps right after another request."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """Begin a request."""
        self._head_came()
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request."""
        self._in_body = False
        self._head_came()
        super().on_message_complete()

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_bytes = 0
            self._head_timer = self.loop.call_later(self.limits.head_timeout_s, self._give_up_head)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up_head(self) -> None:
        self._head_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False  # the answer is being sent; the connection ends after it
        elif not self.transport.is_closing():
            self.transport.close()
