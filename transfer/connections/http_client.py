"""Sends small requests over httpx and turns every answer that was not expected into an error of ours.

The client repeats nothing by itself; `transfer.pace.retrying` decides what is sent again.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from transfer.connections.contract import Put
from transfer.connections.socket_connection import CONNECT_TIMEOUT_S, KEEPALIVE_S
from transfer.connections.tcp import congestion_control
from transfer.wire import protocol
from transfer.wire.errors import (
    BadUrl,
    CertificateRejected,
    LinkLost,
    ProtocolMismatch,
    SourceUnreadable,
    TransferError,
    VersionMismatch,
)
from transfer.wire.problems import error_of

Model = TypeVar("Model", bound=BaseModel)


def parsed_url(url: str) -> httpx.URL:
    """Return a URL that `transfer.wire.addresses.check_url` has accepted, parsed.

    Raises
    ------
    BadUrl
        httpx cannot use it, for example because the host's name cannot be encoded.
    """
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise BadUrl(f"{url!r}: {error}") from error


def tls_context(ca: Path | None) -> ssl.SSLContext:
    """Return a TLS context that trusts one PEM file, or the system's authorities if there is none.

    Raises
    ------
    SourceUnreadable
    """
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise SourceUnreadable(f"{ca} is not a readable file of PEM certificates: {error}") from error


class HttpClient:
    """Requests to one receiver; many threads may use it at once.

    Parameters
    ----------
    url
        The receiver's URL.
    headers
        The headers of every request.
    tls
        The context for https; None for http. Proxies from the environment are used for https only, because a proxy
        would see a token that is not encrypted.
    timeout_s
        How long the receiver may be silent, in s.

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
        self, url: httpx.URL, headers: Mapping[str, str], tls: ssl.SSLContext | None, timeout_s: float
    ) -> None:
        self.congestion_control: str | None = None
        self.protocol_version: int | None = None
        self.answered_at_s: float | None = None
        self._url = url
        self._http = httpx.Client(
            base_url=url,
            headers=headers,
            verify=tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s), pool=None),
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=None, keepalive_expiry=min(KEEPALIVE_S, timeout_s)
            ),
            trust_env=tls is not None,
        )

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def ask(
        self,
        model: type[Model],
        method: str,
        target: str,
        *,
        body: BaseModel | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Model:
        """Send a request and return its answer as a model.

        Raises
        ------
        TransferError
        """
        content = None if body is None else body.model_dump_json().encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        answer = self.request(method, target, content=content, headers=headers, params=params)
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as error:
            raise ProtocolMismatch(
                f"{method} {answer.url.path}: the answer is not a {model.__name__} of this version"
            ) from error

    def put(self, put: Put, content: Iterator[bytes]) -> bytes:
        """Send a request that carries chunks, `content` being its body; return the body of the answer.

        Raises
        ------
        TransferError
        """
        headers = {"Content-Length": str(put.body_bytes), **put.headers}
        return self.request("PUT", put.target, content=content, headers=headers).content

    def request(
        self,
        method: str,
        target: str,
        *,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request and return its answer, which is 2xx.

        Raises
        ------
        TransferError
        """
        named = dict(headers or {})
        if self.protocol_version is not None and target != protocol.SERVICE:
            named[protocol.H_PROTOCOL] = str(self.protocol_version)
        try:
            answer = self._http.request(method, target, content=content, headers=named, params=params)
        except httpx.RequestError as error:
            raise self._lost(method, target, error) from error
        if self.congestion_control is None:
            self.congestion_control = _congestion_control(answer)
        self.answered_at_s = _time_of(answer)
        if not answer.is_success:
            refusal = _refusal(answer)
            if isinstance(refusal, VersionMismatch):
                self.protocol_version = None
            raise refusal
        return answer

    @contextmanager
    def stream(self, target: str, headers: Mapping[str, str], params: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Send a GET request and yield its answer, which is 2xx and whose body has not been read yet.

        Raises
        ------
        TransferError
        """
        try:
            with self._http.stream("GET", target, params=params, headers=headers) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _refusal(answer)
                yield answer
        except httpx.RequestError as error:
            raise self._lost("GET", target, error) from error

    def _lost(self, method: str, target: str, error: httpx.RequestError) -> TransferError:
        if isinstance(error.__context__, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return CertificateRejected(f"{self._url.host}: {error}")
        return LinkLost(f"{method} {str(self._url).rstrip('/')}{target}: {str(error) or type(error).__name__}")


def _refusal(answer: httpx.Response) -> TransferError:
    return error_of(answer.status_code, answer.content, answer.headers.get(protocol.H_RETRY_AFTER))


def _time_of(answer: httpx.Response) -> float | None:
    try:
        return parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
    except (TypeError, ValueError):
        return None


def _congestion_control(answer: httpx.Response) -> str | None:
    stream = answer.extensions.get("network_stream")
    connected = None if stream is None else stream.get_extra_info("socket")
    return None if connected is None else congestion_control(connected)
