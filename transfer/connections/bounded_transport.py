"""Carries httpx's requests over connections on which no answer can take for ever.

httpx limits how long nothing may arrive. An answer of one byte a second passes that limit: here the time that is spent
in waiting for one answer is limited as a whole, its head included, and that of a proxy too.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpcore
import httpx

from transfer.connections.answer_limits import HEAD_BYTES, LEAST_BYTES_PER_S, AnswerBudget, AnswerRefused
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
        How long the head of an answer may take, in s, and an answer bring nothing.
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
            "network_backend": (network := _BoundedNetwork(timeout_s)),
        }
        self._network = network
        self._pool = httpcore.ConnectionPool(**common) if proxy is None else _through(proxy, trust, common)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return its answer, of which the head is here."""
        assert isinstance(request.stream, Iterable)
        with self._network.closed_on_error():
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

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._network = httpcore.SyncBackend()
        self._of_thread = threading.local()

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close the connections that a request opened and that failed: httpcore forgets one that a proxy refused."""
        with ExitStack() as opened:
            self._of_thread.opened = opened
            yield
            opened.pop_all()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        self._of_thread.opened.callback(stream.close)
        return _BoundedStream(stream, self._timeout_s)


class _BoundedStream(httpcore.NetworkStream):
    """A connection: what is read between two writes is one answer."""

    def __init__(self, stream: httpcore.NetworkStream, timeout_s: float) -> None:
        self._stream, self._timeout_s = stream, timeout_s
        self._head: AnswerBudget | None = None  # while a head is read
        self._is_body = False
        self._body_bytes, self._waited_s = 0, 0.0  # of this body; time in which its reader did something else is none

    def begin_body(self) -> None:
        """Note that the head of the answer is complete."""
        self._head, self._is_body, self._body_bytes, self._waited_s = None, True, 0, 0.0

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._head, self._is_body = None, False
        self._stream.write(buffer, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left_s = self._left_s()
        began_s = time.monotonic()
        try:
            data = self._stream.read(max_bytes, left_s if timeout is None else min(timeout, left_s))
        except httpcore.ReadTimeout:
            if self._has_begun() and (timeout is None or left_s < timeout):
                raise self._too_slow() from None
            raise  # nothing arrived: the connection is lost
        if self._is_body:
            self._waited_s += time.monotonic() - began_s
            self._body_bytes += len(data)
        elif self._head is not None:
            self._head.spend(len(data))
        return data

    def _left_s(self) -> float:
        if not self._is_body:
            self._head = self._head or AnswerBudget(HEAD_BYTES, self._timeout_s)
            return self._head.left_s()
        left_s = self._timeout_s + self._body_bytes / LEAST_BYTES_PER_S - self._waited_s
        if left_s <= 0:
            raise self._too_slow()
        return left_s

    def _has_begun(self) -> bool:
        return self._is_body or (self._head is not None and self._head.has_begun)

    def _too_slow(self) -> AnswerRefused:
        if self._is_body:
            return AnswerRefused(f"the answer came with less than {LEAST_BYTES_PER_S} bytes per second")
        return AnswerRefused(f"the head of the answer was not complete after {self._timeout_s:g} s")

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _BoundedStream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._timeout_s)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()
