"""One method for each request of `transfer.wire.protocol`.

Many threads may use a client at once. A client repeats nothing by itself: `transfer.upload` and `transfer.download` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar
from uuid import UUID

import httpx
from pydantic import RootModel

from transfer.connections.answer_limits import PAGE_BYTES, RECORDS_BYTES, SESSIONS_BYTES
from transfer.connections.authorization import Authorization
from transfer.connections.contract import Connection
from transfer.connections.http_client import HttpClient, parsed_url
from transfer.connections.httpx_connection import HttpxConnection
from transfer.connections.own_answers import OwnAnswers
from transfer.connections.proxies import proxy_for
from transfer.connections.socket_connection import Endpoint, SocketConnection
from transfer.connections.tls_trust import TlsTrust
from transfer.credentials import TokenSource
from transfer.wire import protocol, version_1
from transfer.wire.addresses import check_url
from transfer.wire.agent_status import AgentList, AgentRequests, AgentStatus, KnownAgent
from transfer.wire.errors import NotFound, ProtocolMismatch
from transfer.wire.exposure_claim import ClaimAnswer, ClaimAnswers, ClaimBatch
from transfer.wire.exposure_record import ExposureRecord
from transfer.wire.header_fields import format_etag, format_range, parse_content_range
from transfer.wire.listing import MOST_SESSION_BYTES, Pages, SessionListing
from transfer.wire.protocol import (
    CommitRequest,
    Event,
    EventList,
    Exposure,
    ExposureList,
    FileList,
    ListedFile,
    MissingRanges,
    Service,
    Session,
    SessionList,
    UploadDeclaration,
    UploadStatus,
    route,
)
from transfer.wire.receipt import Receipt
from transfer.wire.session_exports import SessionExports
from transfer.wire.session_metadata import SessionMetadata
from transfer.wire.verdict import (
    ExposureVerdict,
    SessionThresholds,
    Side,
    ThresholdValue,
    VerdictAnswers,
    VerdictBatch,
    verdict_of,
)
from transfer.wire.verification import Verification, VerificationRequest
from transfer.wire.versions import SpokenVersions, agreed_version, our_versions

T = TypeVar("T")


class Repeat(Protocol):
    """Calls a request until it succeeds, or for as long as that is useful; returns what it returns."""

    def __call__(self, request: Callable[[], T], /) -> T:
        """Call the request."""


def _once(request: Callable[[], T], /) -> T:
    return request()


class ReceiverClient:
    """The requests that one receiver answers.

    Parameters
    ----------
    url
        The receiver's URL: https, or http on this machine.
    token
        The bearer token, or where it is read, again when its file changes; None for requests that need none
        (`service`).
    ca
        PEM file of the certificate authority to trust instead of the system's. It is read again when it changes.
    timeout_s
        How long the receiver may be silent, in s, before the connection counts as lost.
    clear_text
        Accept http to other machines too, for networks that are private or encrypted.
    versions
        Which versions of the protocol this client speaks; None: those of this software.

    Raises
    ------
    BadUrl, AuthRejected
        Before anything is sent: the URL would send the token in clear text, or the token has characters that no token
        has.
    BadProxy
        The environment names a proxy that cannot be used.
    SourceUnreadable
        `ca` is no file of certificates.

    Attributes
    ----------
    proxy
        The proxy that all requests go through; None: they go to the receiver itself.
    """

    def __init__(
        self,
        url: str,
        token: str | TokenSource | None,
        *,
        ca: Path | None = None,
        timeout_s: float = 60.0,
        clear_text: bool = False,
        versions: SpokenVersions | None = None,
    ) -> None:
        self._versions = versions or our_versions()
        self.url = parsed_url(check_url(url, clear_text=clear_text))
        self._timeout_s = timeout_s
        self._trust = TlsTrust(ca) if self.url.scheme == "https" else None
        self._authorization = Authorization({"User-Agent": f"cryoferry/{self._versions.software}"}, token)
        self.proxy = proxy_for(self.url)
        self._own = OwnAnswers()
        self._http = HttpClient(self.url, self._authorization, self._trust, timeout_s, proxy=self.proxy, own=self._own)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    @property
    def congestion_control(self) -> str | None:
        """The TCP congestion control towards the receiver; None before the first answer, and if it is unknown."""
        return self._http.congestion_control

    @property
    def answered_at_s(self) -> float | None:
        """When the newest answer was given, by the receiver's clock, in seconds since 1970; None: it is unknown."""
        return self._http.answered_at_s

    # The receiver and its sessions

    def check_reachable(self) -> None:
        """Make sure that a receiver answers; this needs no token."""
        self._http.request("GET", protocol.HEALTH)

    def service(self) -> Service:
        """Return the receiver's version, limits and free space."""
        return self._http.ask(Service, "GET", protocol.SERVICE)

    def agree(self) -> int:
        """Return the version of the protocol that is used with this receiver; the receiver is asked only once.

        Raises
        ------
        VersionMismatch
            Client and receiver have no version in common.
        """
        agreed = self._http.protocol_version
        if agreed is None:
            agreed = self._http.protocol_version = agreed_version(self._versions, self.service().spoken)
        return agreed

    def sessions(self) -> tuple[Session, ...]:
        """Return the sessions that the token permits to see, oldest first.

        Raises
        ------
        ProtocolMismatch
            The list does not end.
        """
        found, pages, after = dict[str, Session](), Pages("sessions", MOST_SESSION_BYTES), "0"
        while True:
            params = {"after": after}  # an older receiver ignores it, and has one page
            page, size_bytes = self._http.ask_sized(
                SessionList, "GET", protocol.SESSIONS, params=params, most_bytes=SESSIONS_BYTES
            )
            new = {one.name: one for one in page.sessions if one.name not in found}
            found |= new
            if (following := pages.follow(page.next, len(new), size_bytes)) is None:
                return tuple(found.values())
            after = following

    def open_session(self, name: str) -> Session:
        """Start a session; a session that is open already stays unchanged.

        Raises
        ------
        VersionMismatch
            Client and receiver have no version of the protocol in common.
        """
        self.agree()
        return self._http.ask(Session, "PUT", route(protocol.SESSION, session=name))

    def session(self, name: str) -> Session:
        """Return a session."""
        return self._http.ask(Session, "GET", route(protocol.SESSION, session=name))

    def end_session(self, name: str) -> Session:
        """End a session: no more exposures are expected."""
        return self._http.ask(Session, "POST", route(protocol.SESSION_END, session=name))

    def reopen_session(self, name: str) -> Session:
        """Open an ended session again for late exposures."""
        return self._http.ask(Session, "POST", route(protocol.SESSION_REOPEN, session=name))

    def give_metadata(self, session: str, given: SessionMetadata) -> None:
        """Have the receiver keep what people say of a session, in place of what was given before.

        Raises
        ------
        NotFound
            No such session, or the receiver is older and keeps no metadata.
        BadMetadata
            The receiver does not know all fields.
        """
        body = RootModel(given.model_dump(mode="json", exclude_unset=True))
        self._http.ask(SessionMetadata, "PUT", route(protocol.METADATA, session=session), body=body)

    def metadata(self, session: str) -> SessionMetadata:
        """Return what people have said of a session."""
        return self._http.ask(SessionMetadata, "GET", route(protocol.METADATA, session=session))

    def export_session(self, name: str) -> SessionExports:
        """Have the receiver make a session's files for other programs, from what is registered now.

        Raises
        ------
        NotFound
            No such session, or the receiver is older and exports nothing.
        ReceiverBusy
            The receiver exports another session.
        """
        return self._http.ask(SessionExports, "POST", route(protocol.EXPORTS, session=name))

    def files(self, session: str, *, repeat: Repeat = _once) -> Iterator[ListedFile]:
        """Yield the newest revision of every committed file of a session, by path.

        Parameters
        ----------
        repeat
            Asks for one page, again if need be: `transfer.pace.retrying.RetryPolicy.repeat`.

        Raises
        ------
        ProtocolMismatch
            The list does not end, or names a file that cannot be one of this session.
        """
        repeat(self.agree)
        pages, listing = Pages(f"files of session {session}"), SessionListing(session)
        after: str | None = None
        while True:
            page, size_bytes = repeat(partial(self._page_of_files, session, after))
            files = list(listing.accepted(page.files))
            yield from files
            if (after := pages.follow(page.next, len(files), size_bytes)) is None:
                return

    def _page_of_files(self, session: str, after: str | None) -> tuple[FileList, int]:
        params = {} if after is None else {"after": after}
        target = route(protocol.SESSION_FILES, session=session)
        return self._http.ask_sized(FileList, "GET", target, params=params, most_bytes=PAGE_BYTES)

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
        target = route(protocol.AGENT, session=session, agent=str(agent))
        return self._http.ask(AgentRequests, "PUT", target, body=status)

    def agents(self, session: str) -> tuple[KnownAgent, ...]:
        """Return the agents that reported to a session, each with its last report."""
        target = route(protocol.AGENTS, session=session)
        return self._http.ask(AgentList, "GET", target, most_bytes=PAGE_BYTES).agents

    # Exposures

    def publish(self, session: str, record: ExposureRecord) -> Exposure:
        """Publish an exposure whose files are all committed. The same record again changes nothing.

        A receiver that spoke version 1 is asked again each time: version 1 leaves out figures, and it may be newer now.
        """
        target = route(protocol.EXPOSURE, session=session, exposure_id=str(record.exposure_id))
        version = self.agree()
        if version == 1:
            self._http.protocol_version = None
            version = self.agree()
        body = record if version > 1 else RootModel(version_1.downgraded(record.model_dump(mode="json")))
        return self._http.ask(Exposure, "PUT", target, body=body)

    def exposure(self, session: str, exposure_id: UUID) -> Exposure | None:
        """Return the newest revision of an exposure; None if the session has no exposure of that id."""
        try:
            target = route(protocol.EXPOSURE, session=session, exposure_id=str(exposure_id))
            return self._http.ask(Exposure, "GET", target)
        except NotFound:
            return None

    def exposures(self, session: str, after: str | None = None) -> ExposureList:
        """Return one page of a session's exposures; for the following page, pass its `next` as `after`."""
        params = {} if after is None else {"after": after}
        target = route(protocol.EXPOSURES, session=session)
        return self._http.ask(ExposureList, "GET", target, params=params, most_bytes=RECORDS_BYTES)

    def exposure_pages(self, session: str) -> Iterator[tuple[Exposure, ...]]:
        """Yield the published exposures of a session page by page.

        Raises
        ------
        ProtocolMismatch
            The list does not end.
        """
        pages, after = Pages(f"exposures of session {session}"), None
        while True:
            page = self.exposures(session, after)
            yield page.exposures
            if (after := pages.follow(page.next, len(page.exposures))) is None:
                return

    def events(self, session: str) -> Iterator[Event]:
        """Yield what happened in a session, the oldest first.

        Raises
        ------
        ProtocolMismatch
            The list does not end.
        """
        last, target = 0, route(protocol.SESSION_EVENTS, session=session)
        while True:
            page = self._http.ask(EventList, "GET", target, params={"after": str(last)}, most_bytes=PAGE_BYTES)
            yield from page.events
            if page.next is None:
                return
            if page.next <= last:
                raise ProtocolMismatch(f"the list of events of session {session} does not end")
            last = page.next

    def claim(self, session: str, batch: ClaimBatch) -> tuple[ClaimAnswer, ...]:
        """Claim movies before they are aligned or sent; return the answers in the order of the claims.

        Raises
        ------
        NotFound
            No such session, or the receiver is older and knows no claims.
        ProtocolMismatch
            The receiver answered another number of claims.
        """
        target = route(protocol.CLAIMS, session=session)
        answers = self._http.ask(ClaimAnswers, "POST", target, body=batch, most_bytes=PAGE_BYTES).answers
        if len(answers) != len(batch.claims):
            raise ProtocolMismatch(f"the receiver answered {len(answers)} of {len(batch.claims)} claims")
        return answers

    # Verdicts

    def thresholds(self, session: str) -> SessionThresholds:
        """Return the thresholds of a session."""
        return self._http.ask(SessionThresholds, "GET", route(protocol.THRESHOLDS, session=session))

    def set_threshold(self, session: str, figure: str, side: Side, value: float) -> SessionThresholds:
        """Reject the exposures of a session whose figure is above or below a value; return all thresholds.

        Raises
        ------
        UnknownFigure
        LimitReached
            The session has too many thresholds.
        """
        target = route(protocol.THRESHOLD, session=session, figure=figure, side=side.value)
        return self._http.ask(SessionThresholds, "PUT", target, body=ThresholdValue(value=value))

    def remove_threshold(self, session: str, figure: str, side: Side) -> SessionThresholds:
        """Remove a threshold, if it is there; return the others."""
        target = route(protocol.THRESHOLD, session=session, figure=figure, side=side.value)
        return self._http.ask(SessionThresholds, "DELETE", target)

    def say_verdicts(
        self, session: str, exposures: Sequence[str], *, accepted: bool | None, comment: str = ""
    ) -> tuple[ExposureVerdict, ...]:
        """Accept or reject exposures; None: let the thresholds decide again.

        Parameters
        ----------
        exposures
            At most `transfer.wire.verdict.MOST_VERDICTS` ids, or names of micrographs.

        Raises
        ------
        NotFound
            One of them is not there; nothing is changed.
        """
        said = tuple(verdict_of(name, accepted=accepted, comment=comment) for name in exposures)
        target, batch = route(protocol.VERDICTS, session=session), VerdictBatch(verdicts=said)
        return self._http.ask(VerdictAnswers, "POST", target, body=batch, most_bytes=PAGE_BYTES).verdicts

    # Verification

    def start_verification(self, session: str, paths: Sequence[str] = ()) -> Verification:
        """Have the receiver read files again and compare their digests; without paths, all files of the session.

        Raises
        ------
        LimitReached
            This token has a verification that is not done, or the receiver runs as many as it may.
        """
        target = route(protocol.VERIFICATIONS, session=session)
        return self._http.ask(Verification, "POST", target, body=VerificationRequest(paths=tuple(paths)))

    def verification(self, session: str, verification_id: UUID) -> Verification:
        """Return how far a verification is, and what it has found."""
        target = route(protocol.VERIFICATION, session=session, verification_id=str(verification_id))
        return self._http.ask(Verification, "GET", target, most_bytes=PAGE_BYTES)

    # Files

    def declare(self, upload_id: UUID, declaration: UploadDeclaration) -> UploadStatus:
        """Reserve a name for a file of a given size.

        Raises
        ------
        UploadConflict
            Another upload of that size has reserved the name. Its id is the error's `extra["upload_id"]`.
        NameTaken
            Another file has this name. If it is not committed, `extra["upload_id"]` is the id of its upload.
        """
        return self._http.ask(UploadStatus, "PUT", route(protocol.UPLOAD, upload_id=str(upload_id)), body=declaration)

    def missing(self, upload_id: UUID) -> list[range]:
        """Return the ranges of bytes of an upload that the receiver does not have."""
        answer = self._http.ask(MissingRanges, "GET", route(protocol.UPLOAD_RANGES, upload_id=str(upload_id)))
        return [range(part.first, part.last + 1) for part in answer.missing]

    def commit(self, upload_id: UUID, digest: str) -> Receipt:
        """Have the file made durable and visible; `digest` is its root digest in hex."""
        target = route(protocol.UPLOAD_COMMIT, upload_id=str(upload_id))
        return self._http.ask(Receipt, "POST", target, body=CommitRequest(digest=digest))

    def withdraw(self, upload_id: UUID, *, quiet_s: float | None = None) -> None:
        """Delete an unfinished upload, of this sender or another one. Its name is free again.

        Parameters
        ----------
        quiet_s
            Only if no bytes arrived for it for so long, in s.

        Raises
        ------
        UploadConflict
            It is committed, or bytes arrived meanwhile (`extra["state"]` says which).
        """
        params = {} if quiet_s is None else {"quiet_s": f"{quiet_s:g}"}
        self._http.request("DELETE", route(protocol.UPLOAD, upload_id=str(upload_id)), params=params)

    @contextmanager
    def content(self, receipt: Receipt, wanted: range) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Ask for a non-empty range of a committed file.

        Yields the number of the first byte that comes (0 if the receiver ignores ranges) and the bytes.

        Raises
        ------
        TransferError
        """
        target = route(protocol.FILE, session=receipt.session, path=receipt.path)
        headers = {protocol.H_RANGE: format_range(wanted), "Accept-Encoding": "identity"}
        params, etag = {"revision": str(receipt.revision)}, format_etag(receipt.digest)
        with self._http.stream(target, headers, params, etag) as answer:
            yield _first_byte(answer, wanted, receipt), answer.iter_raw()

    # Connections for chunks

    def new_connection(self) -> Connection:
        """Return a new connection for chunks: a socket of our own, or httpx if there is a proxy."""
        if self.proxy is not None:
            return HttpxConnection(self._http.put, lambda: self.congestion_control)
        return SocketConnection(
            Endpoint(
                host=self.url.raw_host.decode("ascii"),
                port=self.url.port or (443 if self._trust else 80),
                base=self.url.raw_path.decode("ascii").rstrip("/"),
                authorization=self._authorization,
                trust=self._trust,
                own=self._own,
                timeout_s=self._timeout_s,
            )
        )


def _first_byte(answer: httpx.Response, wanted: range, receipt: Receipt) -> int:
    """Return the number of the first byte in the answer to a request for a range."""
    if answer.status_code != 206:
        return 0
    sent, size_bytes = parse_content_range(answer.headers.get(protocol.H_CONTENT_RANGE, ""))
    if sent != wanted or size_bytes != receipt.size_bytes:
        raise ProtocolMismatch(
            f"{receipt.path}: the receiver was asked for bytes {wanted.start} to {wanted.stop - 1} of"
            f" {receipt.size_bytes}, and sent {sent.start} to {sent.stop - 1} of {size_bytes}"
        )
    return sent.start
