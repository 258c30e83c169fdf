"""Reports how the agent is to the receiver, and acts on what people ask of it in the answer.

No exposure depends on it: a report that fails is left out, and the next one follows 5 s later. At a clean end a last
report says how the agent ended.
"""

from __future__ import annotations

import logging
import platform
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

from agents.boundary import contained
from agents.journal.journal import Journal
from agents.journal.states import PAUSED, State
from agents.measurements import Measurements
from agents.sending.lease import LEASE_TROUBLE, SessionLease
from agents.sending.receiver_memory import ReceiverMemory
from agents.watch_settings import WatchSettings
from agents.work_folder import free_bytes
from transfer.client import ReceiverClient
from transfer.pace.pacer import Pacer
from transfer.wire.accounting import SessionAccount
from transfer.wire.agent_status import (
    AgentRequest,
    AgentStatus,
    Confirmation,
    DiskSpace,
    LastError,
    LeaseWish,
    Limits,
    Rates,
    RequestKind,
    RequestOutcome,
)
from transfer.wire.errors import ForeignAnswer, LinkLost, TransferError
from transfer.wire.versions import our_versions

log = logging.getLogger(__name__)

REPORT_S = 5.0
WAITING_REPORT_S = 2.0
"""An agent that waits for another one's end reports more often, so that it begins soon after that end."""
_LONGEST_WAIT_S = 15.0
_LONGEST_FOREIGN_PAUSE_S = 20.0
"""Between two reports, while something else answers than the receiver."""
_MOST_CONFIRMED = 16
_LONGEST_TEXT = 300  # characters; a report has at most 16 kB
_QUEUES = {"align": (State.FINISHED,), "send": (State.ALIGNED, State.SENDING)}
_TROUBLES = (LEASE_TROUBLE, "source_trouble", "work_full", "receiver_trouble")


class Requests:
    """What people ask of the agent through the receiver; each request is acted on once, also across restarts.

    Parameters
    ----------
    retry
        Takes up one exposure again; returns why not, or an empty text. None: every request is refused.
    changed
        Called after a request was done.
    """

    def __init__(
        self, journal: Journal, retry: Callable[[UUID], str] | None, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._journal, self._retry, self._changed = journal, retry, changed

    def unconfirmed(self) -> list[Confirmation]:
        """Return what became of requests whose confirmation has not been answered yet, oldest first."""
        return [
            Confirmation(id=UUID(request_id), outcome=RequestOutcome(outcome), reason=reason)
            for request_id, outcome, reason in self._journal.requests.unconfirmed(_MOST_CONFIRMED)
        ]

    def confirmed(self, confirmations: list[Confirmation]) -> None:
        """Note that the receiver has these confirmations."""
        if confirmations:
            self._journal.requests.confirm([str(confirmation.id) for confirmation in confirmations])

    def act(self, request: AgentRequest) -> None:
        """Do or refuse a request, and keep the outcome in the same transaction; it is never done a second time."""
        with self._journal.transaction():
            if self._journal.requests.repeat_confirmation(str(request.id)):
                return
            refused = self._do(request)[:_LONGEST_TEXT]
            outcome = RequestOutcome.REFUSED if refused else RequestOutcome.DONE
            self._journal.requests.keep(str(request.id), request.kind, request.exposure_id, outcome.value, refused)
        asked = f"{request.kind} {request.exposure_id or ''}".rstrip()
        log.warning("an admin of the receiver requested `%s`: %s", asked, f"refused: {refused}" if refused else "done")
        self._changed()

    def _do(self, request: AgentRequest) -> str:
        """Do a request; return why it is refused, or an empty text."""
        if self._retry is None:
            return "the agent was started with --no-remote-requests"
        match request.kind:
            case RequestKind.PAUSE:
                self._journal.note(**{PAUSED: "an admin paused the agent through the receiver"})
            case RequestKind.RESUME:
                self._journal.note(**{PAUSED: None})
            case RequestKind.RETRY if request.exposure_id is not None:
                return self._retry(request.exposure_id)
            case RequestKind.RETRY:
                return "the request names no exposure"
            case _:
                return f"this version of the agent does not know the request {request.kind!r}"[:_LONGEST_TEXT]
        return ""


class StatusReport:
    """Reports every 5 s, in a thread of its own.

    Parameters
    ----------
    client
        Used by this thread alone, with a short timeout.
    lease
        Whether the agent may work; each report asks for it.
    memory
        Takes in what the receiver says of itself.
    sent_bytes
        Returns how many bytes of files were sent since the start.
    begin_when
        The first report waits until this is set, at most 15 s: the session must be open.
    on_reached
        Called when a report was answered after one had failed.
    every_s
        Seconds between two reports.
    own_trouble
        Returns what is wrong with the agent's own disk or journal; empty: nothing. The journal cannot hold it.
    on_account
        Gets where every exposure of the session is, when an answer tells it.
    """

    def __init__(
        self,
        settings: WatchSettings,
        journal: Journal,
        client: ReceiverClient,
        measurements: Measurements,
        requests: Requests,
        *,
        lease: SessionLease,
        memory: ReceiverMemory,
        sent_bytes: Callable[[], int],
        begin_when: threading.Event | None = None,
        on_reached: Callable[[], None] = lambda: None,
        every_s: float = REPORT_S,
        own_trouble: Callable[[], str] = lambda: "",
        on_account: Callable[[SessionAccount], None] = lambda _: None,
    ) -> None:
        self._settings, self._journal, self._client = settings, journal, client
        self._measurements, self._requests = measurements, requests
        self._lease, self._memory = lease, memory
        self._sent_bytes, self._begin_when, self._every_s = sent_bytes, begin_when, every_s
        self._own_trouble, self._on_account = own_trouble, on_account
        self._on_reached, self._foreign_count, self._last_failed = on_reached, 0, False
        self._agent = agent_id(journal)
        self._started_at = datetime.now(UTC)
        self._stop = threading.Event()
        self._has_failed = self._link_is_lost = self._final = False
        self._thread = threading.Thread(target=self._report_until_stopped, name="status report", daemon=True)

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def stop(self, *, final: bool, give_up_s: float = 3.0) -> None:
        """Stop reporting; a report that is on its way ends first.

        Parameters
        ----------
        final
            Whether to send one last report, unless the receiver could not be reached for the one before.
        give_up_s
            How long to wait for all this at most.
        """
        self._final = final
        self._stop.set()
        self._thread.join(give_up_s)

    def report_once(self, *, act: bool = True) -> None:
        """Send one report and act on its answer.

        Parameters
        ----------
        act
            Whether to act on the answer. If not, the agent ends: it releases its lease, and the receiver repeats its
            requests in its next answer.

        Raises
        ------
        TransferError
        """
        confirmations = self._requests.unconfirmed()
        wish = self._lease.wish() if act else LeaseWish.RELEASE
        seen_before = self._memory.newest_sequence()
        status = self.status(confirmations, wish)
        answer = self._client.report_status(self._settings.session, self._agent, status)
        self._link_is_lost, self._foreign_count = False, 0
        if self._last_failed:
            self._last_failed = False
            self._on_reached()
        if answer.account is not None:
            self._on_account(answer.account)
        if act:
            self._lease.answered(answer.lease)
            self._memory.take_in(answer.receiver, seen_before)
        self._requests.confirmed(confirmations)
        for request in answer.requests if act else ():
            self._requests.act(request)

    def status(self, confirmations: list[Confirmation], wish: LeaseWish = LeaseWish.NONE) -> AgentStatus:
        """Return how the agent is now."""
        settings, journal = self._settings, self._journal
        self._measurements.note_sent(self._sent_bytes())
        counts = journal.counts()
        noted = [self._own_trouble(), *(journal.about(key) for key in _TROUBLES)]
        troubles = tuple(text[:_LONGEST_TEXT] for text in noted if text)
        return AgentStatus(
            host=platform.node()[:255],
            version=our_versions().software[:64],
            started_at=self._started_at,
            counts={state.value: count for state, count in counts.items()},
            released_unsent_count=journal.released_unsent_count(),
            account=journal.account(),
            queues={name: sum(counts[state] for state in states) for name, states in _QUEUES.items()},
            stage_seconds=self._measurements.stage_seconds(),
            rates=Rates(
                movies_per_hour=self._measurements.movies_per_hour(),
                upload_bytes_per_s=self._measurements.upload_bytes_per_s(),
            ),
            disk=DiskSpace(work_free_bytes=free_bytes(settings.work), work_reserve_bytes=settings.work_reserve_bytes),
            limits=Limits(upload_bytes_per_s=_limit_now(settings.pacer), connections=settings.connections),
            last_error=self._last_error(),
            troubles=troubles,
            paused=journal.about(PAUSED) is not None,
            lease=wish,
            confirmed=tuple(confirmations),
        )

    def _last_error(self) -> LastError | None:
        newest = self._journal.newest_set_aside()
        if newest is None:
            return None
        text = f"{newest.movie}: {newest.reason}"[:_LONGEST_TEXT]
        return LastError(at=datetime.fromtimestamp(newest.changed_at, UTC), text=text)

    def _report_until_stopped(self) -> None:
        self._wait_to_begin()
        while not self._stop.is_set():
            began_s = time.monotonic()
            contained(self.report_once, self._note_failure)
            every_s = min(self._every_s, WAITING_REPORT_S) if self._lease.is_waiting else self._every_s
            if self._foreign_count:
                every_s = max(every_s, min(every_s * self._foreign_count, _LONGEST_FOREIGN_PAUSE_S))
            self._stop.wait(max(0.1, every_s - (time.monotonic() - began_s)))
        if self._final and not self._link_is_lost:
            contained(lambda: self.report_once(act=False), self._note_failure)

    def _wait_to_begin(self) -> None:
        give_up_s = time.monotonic() + _LONGEST_WAIT_S
        while self._begin_when is not None and not self._stop.is_set() and time.monotonic() < give_up_s:
            if self._begin_when.wait(0.1):
                return

    def _note_failure(self, error: Exception) -> None:
        self._lease.unanswered()
        self._link_is_lost, self._last_failed = isinstance(error, LinkLost | ForeignAnswer), True
        self._foreign_count = self._foreign_count + 1 if isinstance(error, ForeignAnswer) else 0
        if not self._has_failed:
            self._has_failed = True
            expected = isinstance(error, TransferError)
            log.debug("the status report failed (%s); the work goes on", error, exc_info=not expected)


def _limit_now(pacer: Pacer | None) -> float | None:
    """Return the limit of the upload at this time of day, in bytes per second; None without a limit."""
    return None if pacer is None else pacer.timetable.rate_at(datetime.now().astimezone().time())


def agent_id(journal: Journal) -> UUID:
    """Return the agent's id, which belongs to its work folder; it is made once and kept."""
    with journal.transaction():
        kept = journal.about("agent_id")
        if kept is None:
            kept = str(uuid4())
            journal.note(agent_id=kept)
    return UUID(kept)
