"""uvicorn's HTTP/1.1 protocol, changed so that worker threads read the bodies of files straight from the socket.

uvicorn copies a body three times before an application sees it. `SocketProtocol` stops reading at the end of a PUT's
head instead and offers the request a `SocketBody` in `scope["extensions"]`. When the body is read, the parser is set to
where the body ends, and the connection goes on as if uvicorn had read all of it.

uvicorn reads and drops the body of a request that never asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import re
from collections.abc import Iterator

import httptools
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.flow_control import FlowControl

from api.defaults import DataPlane
from api.http.guarded_protocol import GuardedProtocol
from api.http.slow_clients import ClientLimits
from api.intake.socket_body import EXTENSION, BorrowedSocket, SocketBody

log = logging.getLogger(__name__)

TESTED_UVICORN = "0.54"
_FILES = re.compile(r"/v1/(files/.*|uploads/[^/]+/content)", re.DOTALL)
_NOTHING = bytes(1 << 16)


class HoldableFlow(FlowControl):
    """Flow control that does not resume reading while a thread reads the socket."""

    held = False

    def resume_reading(self) -> None:
        """Resume reading, unless a thread reads the socket."""
        if not self.held:
            super().resume_reading()


class SocketProtocol(GuardedProtocol):
    """uvicorn's HTTP/1.1, which lends its socket to the bodies of files; see `api.intake.socket_body.SocketLender`."""

    _body: SocketBody | None = None  # of the request that is being parsed
    _dropping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Use a flow control that a thread can hold."""
        super().connection_made(transport)
        self.flow = HoldableFlow(transport)

    def data_received(self, data: bytes) -> None:
        """Take what came; of a file's body only what came together with the head."""
        super().data_received(data)
        if self._body is not None and not self.cycle.response_complete and not self.transport.is_closing():
            self.flow.pause_reading()

    def on_message_begin(self) -> None:
        """Begin a request, which has no body yet."""
        self._body = None
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Offer the request its body, if the body is a file."""
        size = self._size_bytes()
        if size:
            self._body = SocketBody(self, size)
            self.scope["extensions"] = {EXTENSION: self._body}  # type: ignore[dict-item]  # no dict, but ours
        super().on_headers_complete()

    def _size_bytes(self) -> int:
        """Return the length of a body that a thread may read; 0: none. Over TLS the socket holds encrypted bytes."""
        if self.scheme != "http" or self.parser.get_method() != b"PUT" or self.parser.should_upgrade():
            return 0
        names = dict(self.headers)
        length = names.get(b"content-length", b"")
        path = httptools.parse_url(self.url).path or b""
        if b"transfer-encoding" in names or not length.isdigit() or not _FILES.match(path.decode("ascii")):
            return 0
        return int(length)

    def on_body(self, body: bytes) -> None:
        """Keep what came with the head; after the answer, drop it."""
        if self._dropping:
            return
        if self._body is None:
            super().on_body(body)
        elif not self.cycle.response_complete:
            self._body_bytes += len(body)
            self._body.parsed.append(body)
            self._body.parsed_bytes += len(body)
            self.cycle.message_event.set()
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._body = None
        super().on_message_complete()

    @property
    def client_asks_first(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body."""
        return self.cycle.waiting_for_100_continue  # of this request: nothing behind it has been parsed

    def send_continue(self) -> None:
        """Send `100 Continue`."""
        self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.cycle.waiting_for_100_continue = False

    @contextlib.contextmanager
    def borrow_socket(self, body: SocketBody) -> Iterator[BorrowedSocket]:
        """Lend the connection's socket, which the event loop leaves alone meanwhile.

        Raises
        ------
        ClientDisconnect
        """
        if self.transport.is_closing():
            raise ClientDisconnect
        self.flow.pause_reading()
        self.flow.held = True  # type: ignore[attr-defined]  # a HoldableFlow
        # A duplicate stays open and the same, even if the connection is closed meanwhile.
        with self.transport.get_extra_info("socket").dup() as duplicate:
            borrowed = BorrowedSocket(duplicate, body.size_bytes - body.parsed_bytes)
            try:
                yield borrowed
            finally:
                self._take_back(body, borrowed.rest_bytes)

    def _take_back(self, body: SocketBody, rest_bytes: int) -> None:
        """Continue parsing behind what was read of a body.

        The parser has seen only the body's beginning. If all of the body was read, a fresh parser begins with the next
        request. If not, this parser is fed as many bytes as were read, and drops them.
        """
        self.flow.held = False  # type: ignore[attr-defined]
        if self not in self.connections:  # the connection was lost meanwhile
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


def protocol_for(
    plane: DataPlane, limits: ClientLimits | None = None, *, tested_uvicorn: str = TESTED_UVICORN
) -> type[GuardedProtocol]:
    """Return the value of `uvicorn.Config(http=…)` for a data plane.

    For `auto` it is `SocketProtocol` only with the uvicorn that was tested. With another one, a warning says so, and
    the guard against slow and hostile clients stays; for `socket` only the warning.

    Parameters
    ----------
    plane
        How the receiver reads bodies of files.
    limits
        What a client may take; None: the usual limits.
    tested_uvicorn
        The version of uvicorn, `MAJOR.MINOR`, for which `SocketProtocol` was written.
    """
    version = importlib.metadata.version("uvicorn")
    if plane != "stream" and not version.startswith(f"{tested_uvicorn}."):
        what = "files are received more slowly" if plane == "auto" else "--data-plane socket may not work"
        log.warning(
            "%s: the quicker way, threads, was not tested with uvicorn %s, only with %s; the guard against slow clients"
            " is kept",
            *(what, version, tested_uvicorn),
        )
        plane = "stream" if plane == "auto" else plane
    protocol = GuardedProtocol if plane == "stream" else SocketProtocol
    return protocol if limits is None else type(protocol.__name__, (protocol,), {"limits": limits})
