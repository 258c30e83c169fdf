"""One method for each request of `transfer.wire.protocol`, over httpx; whatever is not the expected answer is raised.

A client may be used by many threads at once: it keeps one pool of connections. It repeats nothing by itself; that is
`transfer.upload.sender`'s duty.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.request import getproxies, proxy_bypass
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from transfer.connections.contract import Carrier, Put
from transfer.connections.httpx_connection import PortableCarrier
from transfer.connections.socket_connection import CONNECT_TIMEOUT_S, KEEPALIVE_S, Endpoint, SocketCarrier
from transfer.connections.tcp import congestion_control
from transfer.credentials import check_token
from transfer.wire import protocol
from transfer.wire.addresses import check_url
from transfer.wire.agent_status import AgentRequests, AgentStatus
from transfer.wire.errors import (
    BadUrl,
    CertificateRejected,
    LinkLost,
    ProtocolMismatch,
    SourceUnreadable,
    TransferError,
)
from transfer.wire.exposure_record import ExposureRecord
from transfer.wire.protocol import (
    CommitRequest,
    Exposure,
    ExposureList,
    FileList,
    MissingRanges,
    Service,
    Session,
    UploadDeclaration,
    UploadStatus,
    route,
)
from transfer.wire.receipt import Receipt

Model = TypeVar("Model", bound=BaseModel)


def _parsed_url(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise BadUrl(f"{url!r}: {error}") from error


def _tls_context(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise SourceUnreadable(f"{ca}: not a readable file of PEM certificates ({error})") from error


class ReceiverClient:
    """A receiver, as seen from here.

    Parameters
    ----------
    url
        The receiver's address: https, or http on this machine.
    token
        The bearer token; None for what needs none (`service`, health).
    ca
        PEM file of the authority to trust instead of the system's.
    timeout_s
        How long the receiver may stay silent, in s, before the link counts as lost.
    clear_text
        http is taken for other machines too: the link between is private, or encrypted by itself.

    Attributes
    ----------
    congestion_control
        The TCP congestion control that the kernel uses towards the receiver; None before the first answer, and where
        nobody can tell.

    Raises
    ------
    BadUrl, AuthRejected
        Before anything is sent: the URL would carry the token in clear text, the token cannot be one.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        ca: Path | None = None,
        timeout_s: float = 60.0,
        clear_text: bool = False,
    ) -> None:
        self.url = _parsed_url(check_url(url, clear_text=clear_text))
        secure = self.url.scheme == "https"
        self._timeout_s = timeout_s
        self._tls = _tls_context(ca) if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._headers = {"User-Agent": "cryoferry"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {check_token(token)}"
        self.congestion_control: str | None = None
        self._http = httpx.Client(
            base_url=self.url,
            headers=self._headers,
            verify=self._tls,
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s), pool=None),
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=None, keepalive_expiry=min(KEEPALIVE_S, timeout_s)
            ),
            trust_env=secure,  # a proxy from the environment would see a token that is not encrypted
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    # The receiver and its sessions

    def service(self) -> Service:
        """Return what the receiver is and allows."""
        return self._ask(Service, "GET", protocol.SERVICE)

    def sessions(self) -> tuple[Session, ...]:
        """Return the sessions that the token may see."""
        return self._ask(protocol.SessionList, "GET", protocol.SESSIONS).sessions

    def open_session(self, name: str) -> Session:
        """Start a session; one that runs already is returned as it is."""
        return self._ask(Session, "PUT", route(protocol.SESSION, session=name))

    def session(self, name: str) -> Session:
        """Return a session."""
        return self._ask(Session, "GET", route(protocol.SESSION, session=name))

    def end_session(self, name: str) -> Session:
        """End a session: no more exposures are expected."""
        return self._ask(Session, "POST", route(protocol.SESSION_END, session=name))

    def reopen_session(self, name: str) -> Session:
        """Open an ended session again for late exposures."""
        return self._ask(Session, "POST", route(protocol.SESSION_REOPEN, session=name))

    def files(self, session: str) -> Iterator[Receipt]:
        """Yield the newest revision of every committed file of a session, by path."""
        listing, params = route(protocol.SESSION_FILES, session=session), dict[str, str]()
        while True:
            page = self._ask(FileList, "GET", listing, params=params)
            yield from page.files
            if page.next is None:
                return
            params = {"after": page.next}

    # Agents

    def report_status(self, session: str, agent: UUID, status: AgentStatus) -> AgentRequests:
        """Report how an agent is; return what is asked of it, until it confirms that in a report.

        Raises
        ------
        TooLarge
            The report has more than `transfer.wire.agent_status.MAX_STATUS_BYTES`.
        LimitReached
            Too many agents report to this session.
        """
        return self._ask(AgentRequests, "PUT", route(protocol.AGENT, session=session, agent=str(agent)), body=status)

    # Exposures

    def publish(self, session: str, record: ExposureRecord) -> Exposure:
        """Publish an exposure, all of whose files are committed; the same record again changes nothing."""
        target = route(protocol.EXPOSURE, session=session, exposure_id=str(record.exposure_id))
        return self._ask(Exposure, "PUT", target, body=record)

    def exposures(self, session: str, after: str | None = None) -> ExposureList:
        """Return one page of a session's exposures; give its `next` as `after` for the following page."""
        params = {} if after is None else {"after": after}
        return self._ask(ExposureList, "GET", route(protocol.EXPOSURES, session=session), params=params)

    # Files

    def declare(self, upload_id: UUID, declaration: UploadDeclaration) -> UploadStatus:
        """Reserve a name and say what will be sent under it.

        Raises
        ------
        UploadConflict
            The name is reserved by another upload of that size: its id is the error's `extra["upload_id"]`.
        NameTaken
            Another file has this name; while it is not committed, its upload is the error's `extra["upload_id"]`.
        """
        return self._ask(UploadStatus, "PUT", route(protocol.UPLOAD, upload_id=str(upload_id)), body=declaration)

    def missing(self, upload_id: UUID) -> list[range]:
        """Return which bytes of an upload have not arrived."""
        answer = self._ask(MissingRanges, "GET", route(protocol.UPLOAD_RANGES, upload_id=str(upload_id)))
        return [range(part.first, part.last + 1) for part in answer.missing]

    def commit(self, upload_id: UUID, digest: str) -> Receipt:
        """Ask for the file to be made durable and visible; `digest` is its root digest in hex."""
        target = route(protocol.UPLOAD_COMMIT, upload_id=str(upload_id))
        return self._ask(Receipt, "POST", target, body=CommitRequest(digest=digest))

    def withdraw(self, upload_id: UUID, *, quiet_s: float | None = None) -> None:
        """Give up an upload, or one that somebody else left: its name is free again.

        Parameters
        ----------
        quiet_s
            Only if nothing was added to it for that long.

        Raises
        ------
        UploadConflict
            It is committed, or was added to meanwhile (`extra["state"]` says which).
        """
        params = {} if quiet_s is None else {"quiet_s": f"{quiet_s:g}"}
        self._request("DELETE", route(protocol.UPLOAD, upload_id=str(upload_id)), params=params)

    @contextmanager
    def content(self, receipt: Receipt, wanted: range) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Ask for a non-empty range of a committed file.

        Yields the number of the first byte that comes (0 where the receiver knows no ranges) and the bytes.

        Raises
        ------
        TransferError
        """
        target = route(protocol.FILE, session=receipt.session, path=receipt.path)
        headers = {"Range": f"bytes={wanted.start}-{wanted.stop - 1}", "Accept-Encoding": "identity"}
        params = {"revision": str(receipt.revision)}
        try:
            with self._http.stream("GET", target, params=params, headers=headers) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _refusal(answer)
                yield _first_byte(answer, wanted, receipt), answer.iter_bytes()
        except httpx.RequestError as error:
            raise self._lost(f"GET {target}", error) from error

    # Bulk

    def carrier(self) -> Carrier:
        """Return a new connection for bulk requests: a socket of our own, or httpx where a proxy stands between."""
        if self._is_proxied():
            return PortableCarrier(self)
        secure = self.url.scheme == "https"
        return SocketCarrier(
            Endpoint(
                host=self.url.host,
                port=self.url.port or (443 if secure else 80),
                base=self.url.raw_path.decode("ascii").rstrip("/"),
                headers=self._headers,
                tls=self._tls if secure else None,
                timeout_s=self._timeout_s,
            )
        )

    def put(self, put: Put, content: Iterator[bytes]) -> bytes:
        """Send one bulk request, `content` being its bytes, over httpx; return the answer's body."""
        headers = {"Content-Length": str(put.body_bytes), **put.headers}
        return self._request("PUT", put.target, content=content, headers=headers).content

    def _is_proxied(self) -> bool:
        if self.url.scheme != "https":
            return False
        return bool(getproxies().get("https")) and not proxy_bypass(self.url.host)

    # Underneath

    def _ask(
        self,
        model: type[Model],
        method: str,
        target: str,
        *,
        body: BaseModel | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Model:
        content = None if body is None else body.model_dump_json().encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        return _parsed(model, self._request(method, target, content=content, headers=headers, params=params))

    def _request(
        self,
        method: str,
        target: str,
        *,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        try:
            answer = self._http.request(method, target, content=content, headers=headers, params=params)
        except httpx.RequestError as error:
            raise self._lost(f"{method} {target}", error) from error
        if self.congestion_control is None:
            self.congestion_control = _congestion_control(answer)
        if not answer.is_success:
            raise _refusal(answer)
        return answer

    def _lost(self, request: str, error: httpx.RequestError) -> TransferError:
        if isinstance(error.__context__, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return CertificateRejected(f"{self.url.host}: {error}")
        method, _, target = request.partition(" ")
        return LinkLost(f"{method} {str(self.url).rstrip('/')}{target}: {str(error) or type(error).__name__}")


def _refusal(answer: httpx.Response) -> TransferError:
    return protocol.error_of(answer.status_code, answer.content, answer.headers.get(protocol.H_RETRY_AFTER))


def _first_byte(answer: httpx.Response, wanted: range, receipt: Receipt) -> int:
    """Return the number of the first byte of an answer to a request for a range."""
    if answer.status_code != 206:
        return 0
    told, size_bytes = protocol.parse_content_range(answer.headers.get(protocol.H_CONTENT_RANGE, ""))
    if told != wanted or size_bytes != receipt.size_bytes:
        raise ProtocolMismatch(f"{receipt.path}: other bytes than {wanted.start} to {wanted.stop - 1} were answered")
    return told.start


def _congestion_control(answer: httpx.Response) -> str | None:
    stream = answer.extensions.get("network_stream")
    connected = None if stream is None else stream.get_extra_info("socket")
    return None if connected is None else congestion_control(connected)


def _parsed(model: type[Model], answer: httpx.Response) -> Model:
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        raise ProtocolMismatch(
            f"{answer.request.method} {answer.url.path}: no {model.__name__} in the answer"
        ) from error
