"""Sends small requests over httpx and turns every answer that was not expected into an error of ours.

The client repeats nothing by itself; `transfer.pace.retrying` decides what is sent again.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpcore
import httpx
from pydantic import BaseModel
from pydantic_core import from_json

from transfer.connections.answer_limits import ONE_BYTES, AnswerRefused, whole_body
from transfer.connections.authorization import Authorization
from transfer.connections.bounded_transport import LINK_ERRORS, RECEIVES_FILE, SENDS_FILE, BoundedTransport
from transfer.connections.contract import Put
from transfer.connections.own_answers import OwnAnswers, is_marked
from transfer.connections.proxies import Proxy
from transfer.connections.socket_connection import CONNECT_TIMEOUT_S, KEEPALIVE_S
from transfer.connections.tcp import congestion_control
from transfer.connections.tls_trust import TlsTrust, tls_error
from transfer.wire import protocol
from transfer.wire.errors import BadUrl, LinkLost, ProtocolMismatch, TransferError, VersionMismatch
from transfer.wire.foreign_answers import foreign_answer, no_http, printable

_ENDED = ("Server disconnected", "peer closed connection")

Model = TypeVar("Model", bound=BaseModel)


def parsed_url(url: str) -> httpx.URL:
    """Return a URL that `transfer.wire.addresses.check_url` has accepted, parsed.

    Raises
    ------
    BadUrl
        httpx cannot use it, for example because the host's name cannot be encoded.
    """
    try:
        parsed = httpx.URL(url)
        parsed.host.encode("idna")  # as the system's lookup of names does
    except (httpx.InvalidURL, UnicodeError) as error:
        raise BadUrl(f"{url!r}: {error}") from error
    return parsed


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """A whole answer: its body is decoded."""

    status: int
    headers: httpx.Headers
    body: bytes


class HttpClient:
    """Requests to one receiver; many threads may use it at once.

    Parameters
    ----------
    url
        The receiver's URL.
    authorization
        The headers of every request.
    trust
        Which certificates are trusted; None for http.
    proxy
        The proxy that every request goes through.
    own
        Tells the receiver's answers from others.
    timeout_s
        How long the receiver may be silent in one request, in s; see `transfer.connections.patience`.

    Attributes
    ----------
    congestion_control
        The TCP congestion control of the first connection. None before the first answer, and if it is unknown.
    protocol_version
        The version that client and receiver agreed on, which requests name. None before that, and again when the
        receiver answers that it does not speak it: it was replaced by another version.
    answered_at_s
        When the newest answer was given, by the receiver's clock, in seconds since 1970. None: it is unknown.
    """

    def __init__(
        self,
        url: httpx.URL,
        authorization: Authorization,
        trust: TlsTrust | None,
        timeout_s: float,
        *,
        proxy: Proxy | None = None,
        own: OwnAnswers | None = None,
    ) -> None:
        self.congestion_control: str | None = None
        self.protocol_version: int | None = None
        self.answered_at_s: float | None = None
        self._url, self._timeout_s = url, timeout_s
        self._authorization, self._trust, self._proxy = authorization, trust, proxy
        self._own = own or OwnAnswers()
        self._making = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._clients: list[httpx.Client] = []  # the last one is in use; others may still be read from
        self._current()

    def close(self) -> None:
        """Close every connection."""
        for client in self._clients:
            client.close()

    def _current(self) -> httpx.Client:
        """Return the client for the next request: another one when the trusted certificates have changed."""
        context = None if self._trust is None else self._trust.context()
        with self._making:
            if not self._clients or context is not self._context:
                self._context = context
                self._clients.append(self._made(context))
            return self._clients[-1]

    def _made(self, context: ssl.SSLContext | None) -> httpx.Client:
        timeout_s = self._timeout_s
        return httpx.Client(
            base_url=self._url,
            transport=BoundedTransport(
                context, self._trust, self._proxy, timeout_s=timeout_s, keepalive_s=min(KEEPALIVE_S, timeout_s)
            ),
            headers={"Accept-Encoding": "gzip"},  # what `whole_body` decodes within its limits
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s), pool=None),
            trust_env=False,  # `transfer.connections.proxies` decides
            follow_redirects=False,  # the token would go with them
        )

    def ask(
        self,
        model: type[Model],
        method: str,
        target: str,
        *,
        body: BaseModel | None = None,
        params: Mapping[str, str] | None = None,
        most_bytes: int = ONE_BYTES,
    ) -> Model:
        """Send a request and return its answer as a model; the answer has at most `most_bytes`.

        Raises
        ------
        TransferError
        """
        return self.ask_sized(model, method, target, body=body, params=params, most_bytes=most_bytes)[0]

    def ask_sized(
        self,
        model: type[Model],
        method: str,
        target: str,
        *,
        body: BaseModel | None = None,
        params: Mapping[str, str] | None = None,
        most_bytes: int = ONE_BYTES,
    ) -> tuple[Model, int]:
        """Send a request and return its answer, as `ask` does, and how many bytes that answer had."""
        content = None if body is None else body.model_dump_json().encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        answer = self.request(method, target, content=content, headers=headers, params=params, most_bytes=most_bytes)
        try:
            # Not `model_validate_json`: each of its errors holds a copy of what is wrong, which may be all of it.
            valid = model.model_validate(from_json(answer.body))
        except ValueError as error:
            where = self._where(method, target)
            if is_marked(answer.headers.get):
                raise ProtocolMismatch(f"{where}: the answer is not a {model.__name__} of this version") from error
            raise foreign_answer(answer.status, answer.body, answer.headers.get, where=where) from error
        self._own.proven(answer.headers.get)
        return valid, len(answer.body)

    def put(self, put: Put, content: Iterator[bytes]) -> bytes:
        """Send a request that carries chunks, `content` being its body; return the body of the answer.

        Raises
        ------
        TransferError
        """
        headers = {"Content-Length": str(put.body_bytes), **put.headers}
        return self.request("PUT", put.target, content=content, headers=headers, extensions=SENDS_FILE).body

    def request(
        self,
        method: str,
        target: str,
        *,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        most_bytes: int = ONE_BYTES,
        extensions: Mapping[str, str] | None = None,
    ) -> WholeAnswer:
        """Send a request and return its answer, which is 2xx and has at most `most_bytes`.

        Raises
        ------
        TransferError
        """
        own = self._authorization.headers()
        named = {**own, **(headers or {})}
        if self.protocol_version is not None and target != protocol.SERVICE:
            named[protocol.H_PROTOCOL] = str(self.protocol_version)
        try:
            more = dict(extensions or {})
            with self._current().stream(
                method, target, content=content, headers=named, params=params, extensions=more
            ) as arriving:
                if self.congestion_control is None:
                    self.congestion_control = _congestion_control(arriving)
                answer = self._whole(arriving, most_bytes if arriving.is_success else ONE_BYTES)
        except (*LINK_ERRORS, AnswerRefused) as error:
            raise self._lost(method, target, error) from error
        self.answered_at_s = _time_of(answer)
        try:
            self._own.check(answer.status, answer.body, answer.headers.get, where=self._where(method, target))
        except TransferError as error:
            if isinstance(error, VersionMismatch):
                self.protocol_version = None
            raise self._authorization.judged(error, own) from error.__cause__
        return answer

    def _whole(self, arriving: httpx.Response, most_bytes: int) -> WholeAnswer:
        coding = arriving.headers.get("Content-Encoding", "")
        body = whole_body(arriving.iter_raw(), coding, most_bytes, self._timeout_s)
        return WholeAnswer(arriving.status_code, arriving.headers, body)

    @contextmanager
    def stream(
        self, target: str, headers: Mapping[str, str], params: Mapping[str, str], etag: str
    ) -> Iterator[httpx.Response]:
        """Send a GET request for a file and yield its answer, which is 2xx and whose body has not been read yet.

        Parameters
        ----------
        etag
            What a receiver's answer has as ETag.

        Raises
        ------
        TransferError
        """
        own, where = self._authorization.headers(), self._where("GET", target)
        try:
            every = {**own, **headers}
            with self._current().stream(
                "GET", target, params=params, headers=every, extensions=RECEIVES_FILE
            ) as answer:
                if not answer.is_success:
                    whole = self._whole(answer, ONE_BYTES)
                    raise self._authorization.judged(
                        self._own.error_of(whole.status, whole.body, whole.headers.get, where=where), own
                    )
                if not is_marked(answer.headers.get) and answer.headers.get("ETag") != etag:
                    raise foreign_answer(answer.status_code, b"", answer.headers.get, where=where)
                if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise no_http(where, "the file is coded, which was not asked for")
                yield answer
        except (*LINK_ERRORS, AnswerRefused) as error:
            raise self._lost("GET", target, error) from error

    def _where(self, method: str, target: str) -> str:
        return f"{method} {str(self._url).rstrip('/')}{target.partition('?')[0]}"

    def _lost(self, method: str, target: str, error: Exception) -> TransferError:
        where, text = self._where(method, target), str(error) or type(error).__name__
        if self._proxy is not None:
            where += f" through the proxy {self._proxy}"
        if isinstance(error, AnswerRefused):
            return no_http(where, text)
        if (of_tls := tls_error(error, self._url.host, where)) is not None:
            if self._trust is not None:
                self._trust.refused()
            return of_tls
        if isinstance(error, httpcore.ProxyError):
            status = text[:3]
            return foreign_answer(int(status) if status.isdecimal() else 0, text.encode(), where=where)
        is_not_http = isinstance(error, httpcore.RemoteProtocolError | httpx.RemoteProtocolError)
        if is_not_http and not text.startswith(_ENDED):
            return no_http(where, f"the answer is not HTTP/1.1 ({printable(text)})")
        return LinkLost(f"{where}: {text}")


def _time_of(answer: WholeAnswer) -> float | None:
    try:
        return parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
    except (TypeError, ValueError):
        return None


def _congestion_control(answer: httpx.Response) -> str | None:
    stream = answer.extensions.get("network_stream")
    connected = None if stream is None else stream.get_extra_info("socket")
    return None if connected is None else congestion_control(connected)
