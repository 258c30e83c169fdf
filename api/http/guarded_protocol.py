"""uvicorn's HTTP/1.1 protocol with limits for slow and hostile clients; it works with any uvicorn that has the class.

A request's head is bounded in time, size and number of fields, from its first byte (on a new connection: from the
connection's start) to its last; uvicorn's own timeout of idle connections ends with the first byte that comes. The time
holds too for the rest of a body whose request was answered before that rest came, and there is a limit on its bytes.
What a chunked body has beside its content is bounded; its trailers are dropped. A client that reads nothing of an
answer loses its connection. A connection whose framing is in doubt is closed.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.http.connections import Place
from api.http.front_door import FRONT, Front
from api.http.heads import MAX_FIELDS, MAX_TARGET_BYTES, HeadFault, fault_of_head
from api.http.slow_clients import ClientLimits
from transfer.wire.errors import BadRequest
from transfer.wire.problems import PROBLEM_JSON, problem_of

_NO_HTTP = HeadFault(400, "The bytes that were sent are not a valid HTTP request.")
_HEAD_TOO_LONG = HeadFault(431, "The request's head is too long, or has too many fields.")


_OVERRIDDEN = (
    *("connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing", "send_400_response"),
    *("on_message_begin", "on_url", "on_header", "on_headers_complete", "on_body", "on_message_complete"),
    "on_response_complete",
)


def missing_for_guard(protocol: type = HttpToolsProtocol) -> list[str]:
    """Return what uvicorn's class lacks of what the guard overrides: it would never be called."""
    return [name for name in _OVERRIDDEN if not hasattr(protocol, name)]


class HeadRefusedError(Exception):
    """The parser must stop: the client's bytes are refused."""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with limits for slow and hostile clients.

    Attributes
    ----------
    place
        What this connection occupies; None: nobody counts connections.
    """

    limits: ClassVar[ClientLimits] = ClientLimits()

    place: Place | None = None
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _fault: HeadFault | None = None
    _ended = False  # what else the client sends is dropped
    _in_body = False
    _message = 0  # counts the requests
    _head_bytes = 0  # of the head, as they arrived
    _field_bytes = _fields = 0  # of head and trailers, as they were parsed
    _body_bytes = _framing_bytes = _unread_bytes = 0  # of the body: content, all else, what nobody reads

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._unanswered: list[RequestResponseCycle] = []
        self._front: Front | None = self.app_state.get(FRONT)
        if self._front is not None:
            self.logger = self._front.logger

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start the time for the first request."""
        super().connection_made(transport)
        if self.place is not None:
            self.place.close = transport.abort
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers, and free the connection's place."""
        if self.place is not None:
            self.place.leave()
        self._head_came()
        self._written()
        self.pipeline.clear()
        for cycle in self._unanswered:  # uvicorn tells only the last request, and would handle and answer the others
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the time for the client to read."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.limits.write_timeout_s, self._give_up_writing)

    def resume_writing(self) -> None:
        """Stop the time for the client to read."""
        self._written()
        super().resume_writing()

    def _written(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _give_up_writing(self) -> None:
        self._count("clients that did not read their answer")
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take the bytes that arrived. Bytes that do not complete a head do not extend its time."""
        if self._ended:
            return
        if self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._await_head()
        message, content_bytes = (self._message if self._in_body else None), self._body_bytes
        super().data_received(data)
        if self._ended or self.transport.is_closing():
            return
        if self._in_body:
            if message == self._message:
                self._framing_bytes += len(data) - (self._body_bytes - content_bytes)
                if self._framing_bytes > self.limits.max_head_bytes + self._body_bytes:
                    self._refuse(HeadFault(400, "The body's chunks, extensions or trailers are too many."))
        elif self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.max_head_bytes:
                self._refuse(_HEAD_TOO_LONG)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's text says less
        """Refuse bytes that are not an HTTP request, with a problem."""
        self._refuse(self._fault or _NO_HTTP)

    def _refuse(self, fault: HeadFault) -> None:
        """Answer with a problem, and close the connection; behind an answer in progress, only close it."""
        self._count(f"malformed requests ({fault.status})")
        self._ended = True
        self._head_came()
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering and (not self._in_body or self.pipeline or self.cycle.response_started):
            self.pipeline.clear()
            self.flow.pause_reading()
            return  # the connection ends with the answer
        body = problem_of(BadRequest(fault.text), fault.status).model_dump_json().encode()
        fields = f"content-type: {PROBLEM_JSON}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[fault.status] + fields.encode("ascii") + body)
        self.transport.close()
        if is_answering:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def on_message_begin(self) -> None:
        """Begin a head, perhaps right after another request."""
        super().on_message_begin()
        self._message += 1
        self._field_bytes = self._fields = 0
        self._body_bytes = self._framing_bytes = self._unread_bytes = 0
        self._await_head()

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's target."""
        super().on_url(url)
        if len(self.url) > MAX_TARGET_BYTES:
            self._stop_parsing(HeadFault(414, "The request's target is too long."))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; drop one of the trailers."""
        self._fields += 1
        self._field_bytes += len(name) + len(value) + len(b": \r\n")
        if self._fields > MAX_FIELDS or self._field_bytes > self.limits.max_head_bytes:
            self._stop_parsing(_HEAD_TOO_LONG)
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin a request."""
        self._head_came()
        self._head_bytes = 0
        fault = fault_of_head(self.parser.get_http_version(), self.url, self.headers)
        if fault is None and self.parser.should_upgrade():
            fault = HeadFault(400, "The receiver offers no other protocol than HTTP/1.1.")
        if fault is not None:
            self._stop_parsing(fault)
        if len(self.pipeline) >= self.limits.max_queued_requests:
            self._stop_parsing(HeadFault(400, "There are too many requests before the first answer."))
        self._in_body = True
        self._field_bytes = self._fields = 0  # of the trailers
        if self.place is not None:
            self.place.begin_request()
            self.scope["state"]["place"] = self.place
        super().on_headers_complete()
        self._unanswered = [cycle for cycle in self._unanswered if not cycle.response_complete] + [self.cycle]

    def _stop_parsing(self, fault: HeadFault) -> None:
        self._fault = fault
        raise HeadRefusedError

    def on_body(self, body: bytes) -> None:
        """Take a part of a body; after the answer drop it, but not without end."""
        self._body_bytes += len(body)
        if self.cycle.response_complete:
            self._unread_bytes += len(body)
            limits, trusted = self.limits, self.place is None or self.place.has_token
            if self._unread_bytes > (limits.max_unread_bytes_with_token if trusted else limits.max_unread_bytes):
                self._count("bodies that were sent on after the answer")
                self._ended = True
                self.transport.close()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._in_body = False
        self._head_came()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Note that the request was answered."""
        super().on_response_complete()
        if self._ended:
            self.transport.close()
        if self.place is not None and not self.pipeline:
            self.place.end_request()

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
            self._count("clients that were too slow with a request")
            self.transport.close()

    def _count(self, kind: str) -> None:
        if self._front is not None:
            self._front.refusals.note(kind, self.place.address if self.place is not None else "")
