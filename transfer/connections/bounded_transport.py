"""Carries httpx's requests over connections on which no answer can take for ever.

httpx limits each wait alone: the lookup of a name not at all, and an answer of one byte a second for ever. Here the
waits of one request share one limit, from the lookup to the end of the answer, and those for a proxy too.
"""

from __future__ import annotations

import importlib
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpcore
import httpx

from transfer.connections.answer_limits import HEAD_BYTES, AnswerBudget, AnswerRefused
from transfer.connections.opening import opened
from transfer.connections.patience import LEAST_BYTES_PER_S, Patience
from transfer.connections.proxies import Proxy
from transfer.connections.tls_trust import TlsTrust

LINK_ERRORS = (
    httpx.RequestError,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)
"""What a request through this transport raises when it gets no answer."""

SENDS_FILE, RECEIVES_FILE = {"cryoferry_file": "sent"}, {"cryoferry_file": "received"}
"""Extensions of a request: its body, or that of its answer, is a file, and may take as long as it moves."""

_WRITTEN_BYTES = 1 << 16  # at a time: httpcore limits each `send`, and not how many a write takes


class BoundedTransport(httpx.BaseTransport):
    """Connections to one receiver.

    Parameters
    ----------
    context
        Verifies the receiver's certificate; None for http.
    trust
        Makes the context for a proxy that speaks TLS itself.
    proxy
        The proxy that all requests go through; None: they go to the receiver itself.
    timeout_s
        How long a request may wait, in s, for all that comes before the end of its answer; while a file moves, how long
        no byte of it may.
    keepalive_s
        How long a connection may be without a request and is still used, in s.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None,
        trust: TlsTrust | None,
        proxy: Proxy | None,
        *,
        timeout_s: float,
        keepalive_s: float,
    ) -> None:
        common: dict[str, Any] = {
            "ssl_context": context,
            "max_connections": None,
            "max_keepalive_connections": None,
            "keepalive_expiry": keepalive_s,
            "network_backend": (network := _BoundedNetwork()),
        }
        self._network, self._timeout_s = network, timeout_s
        self._socks_errors = _socks_errors() if proxy is not None and proxy.url.scheme.startswith("socks") else ()
        self._pool = httpcore.ConnectionPool(**common) if proxy is None else _through(proxy, trust, common)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return its answer, of which the head is here."""
        assert isinstance(request.stream, Iterable)
        self._network.begin(Patience(self._timeout_s), request.extensions.get("cryoferry_file"))
        with self._network.closed_on_error(), self._no_socks_refused():
            answer = self._pool.handle_request(
                httpcore.Request(
                    request.method,
                    _url(request.url),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        stream = answer.extensions.get("network_stream")
        if isinstance(stream, _BoundedStream):
            stream.begin_body()
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer), extensions=dict(answer.extensions)
        )

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    @contextmanager
    def _no_socks_refused(self) -> Iterator[None]:
        """Raise httpcore's own error for what is no answer of a SOCKS proxy: httpcore lets that of socksio through."""
        try:
            yield
        except self._socks_errors as error:
            text = "the proxy ended the connection, or does not speak SOCKS5"
            raise httpcore.ProxyError(text) from error


def _socks_errors() -> tuple[type[Exception], ...]:
    return (importlib.import_module("socksio").SOCKSError,)  # `proxies` has seen that it is installed


def _through(proxy: Proxy, trust: TlsTrust | None, common: dict[str, Any]) -> httpcore.ConnectionPool:
    url = proxy.url
    named = bool(url.username or url.password)
    auth = (url.username.encode(), url.password.encode()) if named else None
    if url.scheme.startswith("socks"):
        return httpcore.SOCKSProxy(_url(url), proxy_auth=auth, **common)
    context = trust.for_proxy() if trust is not None and url.scheme == "https" else None
    return httpcore.HTTPProxy(_url(url), proxy_auth=auth, proxy_ssl_context=context, **common)


def _url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


class _Body(httpx.SyncByteStream):
    """The body of an answer, as it arrives."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


class _BoundedNetwork(httpcore.NetworkBackend):
    """Opens connections whose waiting is limited."""

    def __init__(self) -> None:
        self._network = httpcore.SyncBackend()
        self._of_thread = threading.local()

    def begin(self, patience: Patience, moves: str | None) -> None:
        """Begin a request of this thread, with the time that it may wait and what it does with a file."""
        self._of_thread.patience, self._of_thread.moves = patience, moves

    def current(self) -> tuple[Patience, str | None]:
        """Return what `begin` was given for the request of this thread."""
        return self._of_thread.patience, self._of_thread.moves

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close the connections that a request opened and that failed: httpcore forgets one that a proxy refused."""
        with ExitStack() as opened_now:
            self._of_thread.opened = opened_now
            yield
            opened_now.pop_all()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        patience, _ = self.current()

        def open_one(address: str, seconds: float) -> httpcore.NetworkStream:
            return self._network.connect_tcp(address, port, seconds, local_address, socket_options)

        failures = (httpcore.ConnectError, httpcore.ConnectTimeout)
        try:
            stream = opened(host, port, float("inf") if timeout is None else timeout, patience, open_one, failures)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        self._of_thread.opened.callback(stream.close)
        return _BoundedStream(stream, self)


class _BoundedStream(httpcore.NetworkStream):
    """A connection: what is read between two writes is one answer."""

    def __init__(self, stream: httpcore.NetworkStream, network: _BoundedNetwork) -> None:
        self._stream, self._network = stream, network
        self._patience, self._moves = network.current()
        self._head: AnswerBudget | None = None  # while a head is read
        self._is_body = False

    def begin_body(self) -> None:
        """Note that the head of the answer is complete."""
        self._head, self._is_body = None, True

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._head, self._is_body = None, False
        self._patience, self._moves = self._network.current()
        for start in range(0, len(buffer), _WRITTEN_BYTES):
            piece = buffer[start : start + _WRITTEN_BYTES]
            try:
                left_s = self._patience.left_s(_endless(timeout))
            except TimeoutError as error:
                raise httpcore.WriteTimeout(str(error)) from error
            with self._patience.waiting():
                self._stream.write(piece, left_s)
            if self._moves == "sent":
                self._patience.moved(len(piece))

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if not self._is_body:
            self._head = self._head or AnswerBudget(HEAD_BYTES, float("inf"))
        try:
            left_s = self._patience.left_s(_endless(timeout))
            with self._patience.waiting():
                data = self._stream.read(max_bytes, left_s)
        except (TimeoutError, httpcore.ReadTimeout) as error:
            if self._has_begun():
                raise self._too_slow() from None
            raise httpcore.ReadTimeout(str(error)) from error  # nothing arrived: the connection is lost
        if self._head is not None:
            self._head.spend(len(data))
        elif self._moves == "received":
            self._patience.moved(len(data))
        return data

    def _has_begun(self) -> bool:
        return self._is_body or (self._head is not None and self._head.has_begun)

    def _too_slow(self) -> AnswerRefused:
        if self._is_body and self._moves == "received":
            return AnswerRefused(f"the file came with less than {LEAST_BYTES_PER_S} bytes per second")
        what = "the answer" if self._is_body else "the head of the answer"
        return AnswerRefused(f"{what} was not complete in time")

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            left_s = self._patience.left_s(_endless(timeout))
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        with self._patience.waiting():
            return _BoundedStream(self._stream.start_tls(ssl_context, server_hostname, left_s), self._network)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()


def _endless(timeout: float | None) -> float:
    return float("inf") if timeout is None else timeout
