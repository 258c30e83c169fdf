"""Sends chunks over a socket of our own: with `sendfile` if they are not encrypted.

Without TLS the kernel copies a body from the page cache to the socket; this process does not touch its bytes. With TLS
the body is read in pieces and encrypted here. While a body without TLS waits for space in the socket's buffer, the
socket is watched for an answer too: a receiver may refuse a request before it has read all of it.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from transfer.connections import tcp
from transfer.connections.answer_limits import ONE_BYTES, AnswerBudget, AnswerRefused
from transfer.connections.answer_reader import AnswerReader
from transfer.connections.authorization import Authorization
from transfer.connections.contract import PIECE_BYTES, Put, SendCallbacks
from transfer.connections.opening import connected_socket
from transfer.connections.own_answers import OwnAnswers
from transfer.connections.patience import Patience
from transfer.connections.tls_trust import TlsTrust, tls_error
from transfer.platform import SocketWatch
from transfer.wire.errors import LinkLost, TransferError
from transfer.wire.foreign_answers import no_http, printable

CONNECT_TIMEOUT_S = 10.0
KEEPALIVE_S = 4.0  # less than uvicorn's 5 s, so that a request is rarely sent while uvicorn closes the connection
POLL_S = 0.25  # how soon a stop is noticed while no bytes are sent or received
TLS_PIECE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go.

    Attributes
    ----------
    host, port
        The address.
    base
        The path before every route, without a slash at its end.
    authorization
        The headers of every request.
    trust
        Which certificates are trusted; None for clear text.
    own
        Tells the receiver's answers from others.
    timeout_s
        How long the receiver may take nothing, or be silent, in s.
    """

    host: str
    port: int
    base: str
    authorization: Authorization
    trust: TlsTrust | None
    own: OwnAnswers
    timeout_s: float

    def headers(self) -> dict[str, str]:
        """Return the headers of the next request."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.port != (443 if self.trust else 80):
            host = f"{host}:{self.port}"
        return {"Host": host, **self.authorization.headers()}


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request without an answer."""

    where: str
    headers: dict[str, str]
    patience: Patience


class SocketConnection:
    """One connection to the receiver, see `transfer.connections.contract.Connection`.

    It is opened at the first request, and again when it was closed.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.unanswered = self.generation = 0
        self.congestion_control: str | None = None
        self._endpoint = endpoint
        self._sent: deque[_Sent] = deque()  # the requests without an answer
        self._socket: socket.socket | None = None
        self._answers: AnswerReader | None = None
        self._is_spent = False  # no further request may follow on this connection
        self._wants_bbr = False
        self._used_s = 0.0

    def use_bbr(self) -> None:
        """Ask the kernel for BBR, now and whenever the connection is opened again."""
        self._wants_bbr = True
        if (connected := self._socket) is not None:
            self._choose_congestion_control(connected)

    def info(self) -> tcp.TcpInfo | None:
        """Return the kernel's figures for the connection; None if it is not open or the kernel gives none."""
        connected = self._socket
        return None if connected is None else tcp.TcpInfo.of(connected)

    def close(self) -> None:
        """Close the connection. Requests without an answer never get one."""
        connected, self._socket, self._answers = self._socket, None, None
        self.unanswered, self._is_spent = 0, False
        self._sent.clear()
        self.generation += 1
        if connected is not None:
            connected.close()

    def send(self, put: Put, callbacks: SendCallbacks) -> None:
        """Send a request, see `Connection`."""
        patience = Patience(self._endpoint.timeout_s)
        try:
            connected = self._connected(patience)
            every = self._endpoint.headers()
            fields = "".join(f"{name}: {value}\r\n" for name, value in {**every, **put.headers}.items())
            target = self._endpoint.base + put.target
            head = f"PUT {target} HTTP/1.1\r\nContent-Length: {put.body_bytes}\r\n{fields}\r\n"
            connected.settimeout(patience.left_s())
            with patience.waiting():
                connected.sendall(head.encode("ascii"))
            if isinstance(connected, ssl.SSLSocket):
                self._send_encrypted(connected, put, callbacks, patience)
            else:
                self._send_file(connected, put, callbacks, patience)
        except OSError as error:
            if (of_tls := tls_error(error, self._endpoint.host, self._where(put))) is not None:
                self.close()
                if self._endpoint.trust is not None:
                    self._endpoint.trust.refused()
                raise of_tls from error
            if self._socket is None or self.unanswered or isinstance(error, TimeoutError):
                self.close()
                raise self._lost(put, error) from error
            self._is_spent = True  # the receiver closed the connection; an answer may say why
        except TransferError:
            self.close()
            raise
        self._sent.append(_Sent(self._where(put), every, patience))
        self.unanswered += 1

    def answer(self, check_stop: Callable[[], None]) -> bytes:
        """Return the body of the next answer, see `Connection`."""
        if self._answers is None:
            raise LinkLost(f"the connection to {self._endpoint.host} was closed before the answer came")
        try:
            patience = self._sent[0].patience
            self._await_answer(patience, check_stop)
            self._answers.begin(AnswerBudget(ONE_BYTES, patience.left_s()), check_stop)
            answer = http.client.HTTPResponse(cast("socket.socket", self._answers), method="PUT")
            answer.begin()
            body = answer.read()
        except (OSError, http.client.RemoteDisconnected, http.client.IncompleteRead) as error:
            self.close()
            raise LinkLost(
                f"{self._endpoint.host} sent no complete answer: {str(error) or type(error).__name__}"
            ) from error
        except (http.client.HTTPException, ValueError) as error:
            where = self._sent[0].where
            self.close()
            text = printable(str(error)) or type(error).__name__
            raise no_http(where, f"the answer is not HTTP/1.1 ({text})") from error
        except AnswerRefused as error:
            where = self._sent[0].where
            self.close()
            raise no_http(where, str(error)) from error
        except TransferError:
            self.close()
            raise
        assert self._socket is not None
        self._socket.settimeout(self._endpoint.timeout_s)
        self.unanswered -= 1
        self._used_s = time.monotonic()
        answered = self._sent.popleft()
        if answer.will_close or self._is_spent:
            self.close()
        try:
            self._endpoint.own.check(answer.status, body, answer.headers.get, where=answered.where)
        except TransferError as error:
            raise self._endpoint.authorization.judged(error, answered.headers) from error.__cause__
        return body

    def _connected(self, patience: Patience) -> socket.socket:
        """Return the open socket; a new one if the last was closed, is spent, or was idle for too long."""
        idle = not self.unanswered and time.monotonic() - self._used_s > KEEPALIVE_S
        if self._socket is not None and not idle and not self._is_spent:
            return self._socket
        self.close()
        endpoint = self._endpoint
        connected = connected_socket(endpoint.host, endpoint.port, CONNECT_TIMEOUT_S, patience)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._choose_congestion_control(connected)
            if endpoint.trust is not None:
                connected.settimeout(patience.left_s(CONNECT_TIMEOUT_S))
                with patience.waiting():
                    connected = endpoint.trust.context().wrap_socket(connected, server_hostname=endpoint.host)
        except OSError:
            connected.close()
            raise
        self._socket, self._answers, self._used_s = connected, AnswerReader(connected), time.monotonic()
        return connected

    def _choose_congestion_control(self, connected: socket.socket) -> None:
        if self._wants_bbr:
            tcp.use_bbr(connected)
        self.congestion_control = tcp.congestion_control(connected)

    def _send_file(self, connected: socket.socket, put: Put, callbacks: SendCallbacks, patience: Patience) -> None:
        """Let the kernel send the body. If the receiver answers meanwhile, the rest is not sent."""
        position, watch = 0, SocketWatch(connected, for_output=True, for_input=not self.unanswered)
        while position < put.body_bytes:
            granted = callbacks.grant(min(PIECE_BYTES, put.body_bytes - position))
            while granted:
                try:
                    count = _push(connected, put, position, granted)
                except BlockingIOError:
                    self._await_space(watch, callbacks, patience)
                    continue
                position, granted = position + count, granted - count
                patience.moved(count)
                callbacks.on_sent(count)

    def _await_space(self, watch: SocketWatch, callbacks: SendCallbacks, patience: Patience) -> None:
        ready = None
        while ready is None:
            left_s = patience.left_s(POLL_S, over="the receiver accepts no more bytes")
            with patience.waiting():
                ready = watch.wait(left_s)
            callbacks.check_stop()
        if ready.input:
            raise ConnectionAbortedError("the receiver answered or closed before the request ended")

    def _send_encrypted(self, connected: ssl.SSLSocket, put: Put, callbacks: SendCallbacks, patience: Patience) -> None:
        position, buffer = 0, memoryview(bytearray(TLS_PIECE_BYTES))
        connected.settimeout(POLL_S)
        while position < put.body_bytes:
            piece = buffer[: callbacks.grant(min(len(buffer), put.body_bytes - position))]
            put.read_into(piece, position)
            position += len(piece)
            self._send_piece(connected, piece, callbacks, patience)
            callbacks.on_sent(len(piece))

    def _send_piece(
        self, connected: ssl.SSLSocket, piece: memoryview, callbacks: SendCallbacks, patience: Patience
    ) -> None:
        while piece:
            patience.left_s(over="the receiver accepts no more bytes")
            try:
                with patience.waiting():
                    count = connected.send(piece)
            except TimeoutError:
                callbacks.check_stop()
            else:
                piece = piece[count:]
                patience.moved(count)

    def _await_answer(self, patience: Patience, check_stop: Callable[[], None]) -> None:
        assert self._socket is not None
        assert self._answers is not None
        arriving = SocketWatch(self._socket, for_input=True)
        has_come = self._answers.is_waiting()
        while not has_come:
            left_s = patience.left_s(POLL_S, over="the receiver sent no answer")
            with patience.waiting():
                has_come = arriving.wait(left_s) is not None
            check_stop()
        self._socket.settimeout(POLL_S)

    def _where(self, put: Put) -> str:
        endpoint = self._endpoint
        return f"PUT {endpoint.host}:{endpoint.port}{endpoint.base}{put.target.partition('?')[0]}"

    def _lost(self, put: Put, error: OSError) -> LinkLost:
        return LinkLost(f"{self._where(put)}: {str(error) or type(error).__name__}")


def _push(connected: socket.socket, put: Put, position: int, count: int) -> int:
    """Give bytes of a body to the kernel, from the page cache unless they are compressed; return how many it took."""
    if put.encoded is not None:
        return tcp.send_now(connected, memoryview(put.encoded)[position : position + count])
    pushed = tcp.send_from_file(connected, put.source.fileno(), put.part.start + position, count)
    if pushed == 0:
        raise put.source.ended(put.part.start + position)
    return pushed
