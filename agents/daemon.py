"""The agent: finds movies, has them aligned and sends the results. It can be killed at any instant.

One thread scans, one thread for each worker aligns, a few threads send. They share the journal and nothing else:
`agents.turns` decides from it what each thread does next, so that a restart continues from the journal.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from uuid import UUID

from agents.boundary import contained
from agents.finding.discovery import Discovery
from agents.journal.journal import Journal, WrongTransition
from agents.journal.movie_names import movie_path
from agents.journal.rows import ExposureRow
from agents.journal.states import PAUSED, UNFINISHED
from agents.measurements import Measurements
from agents.own_faults import OWN_ERRORS
from agents.scanning import Scanning
from agents.sending.claims import Claims
from agents.sending.lease import SessionLease
from agents.sending.receiver_comparison import ReceiverComparison
from agents.sending.receiver_link import LinkStopped, ReceiverLink
from agents.sending.receiver_memory import ReceiverMemory
from agents.sending.status_report import Requests, StatusReport, agent_id
from agents.share.reader import ShareReader
from agents.share_errors import error_of_share
from agents.steps.align_step import AlignStep
from agents.steps.claim_step import ClaimStep
from agents.steps.compare_step import CompareStep
from agents.steps.send_step import SendStep
from agents.steps.setting_aside import set_aside
from agents.steps.used_inputs import named_inputs
from agents.turns import Facts, Step, StepEnd, Turns
from agents.watch_settings import WatchSettings
from agents.work_folder import free_bytes
from agents.work_health import WorkHealth
from agents.workers.contract import AlignmentWorker
from transfer.client import ReceiverClient
from transfer.upload.sender import Sender
from transfer.wire.accounting import SessionAccount

log = logging.getLogger(__name__)

SENDERS = 2
_POLL_S = 1.0
_STATUS_S = 0.2
_FIRST_CONTACT_S = 15.0
_END_S = 1.0


class Agent:
    """One session's agent.

    Parameters
    ----------
    workers
        What aligns movies; each gets a thread of the agent's and is closed at the end.
    stop
        Set by a signal handler or by the caller: all work ends, and nothing half done stays.
    share
        Asks the share; it is not closed at the end.
    reporting
        The receiver as the status report uses it, with a short timeout; None: no status is reported.
    retry
        Retries one exposure when an admin requests it through the receiver; returns why not, or an empty text.
        None: every request is refused, and a pause that was requested earlier ends.
    on_account
        Gets where every exposure of the session is, now and then and at the end.
    """

    def __init__(
        self,
        settings: WatchSettings,
        journal: Journal,
        client: ReceiverClient,
        workers: Sequence[AlignmentWorker],
        stop: threading.Event,
        *,
        share: ShareReader,
        reporting: ReceiverClient | None = None,
        retry: Callable[[UUID], str] | None = None,
        on_account: Callable[[SessionAccount], None] = lambda _: None,
    ) -> None:
        self.settings, self.journal, self.client, self.stop = settings, journal, client, stop
        self._workers = workers
        self.health = WorkHealth(journal, settings.work, stop)
        self.link = ReceiverLink(journal, stop)
        self.discovery = Discovery(
            journal,
            settings.source,
            settings.layout,
            settle_s=settings.settle_s,
            give_up_s=settings.give_up_s,
            input_wait_s=settings.input_wait_s,
            gain_wait_s=settings.gain_wait_s,
            named=partial(named_inputs, settings.chosen),
            follow_links=settings.follow_links,
            access=share,
        )
        self._scanning = Scanning(self.discovery, share, settings.scan_s, self._nudge, self._share_is_back)
        share.listen(self._scanning.wake.set)
        self._work = threading.Condition()
        self._reporting, self._may_be_resumed = reporting, reporting is not None and retry is not None
        self._requests, self._on_account = Requests(journal, retry, self._nudge), on_account
        self._turns = Turns(settings.order)
        self._measurements = Measurements()
        self._lease = SessionLease(journal, settings.lease_wish)
        self._memory = ReceiverMemory(journal, settings.session, stop)
        agent, source_name = agent_id(journal), settings.source_name
        claims = Claims(reporting or client, self.link, settings.session, agent, source_name=source_name)
        self._comparison = ReceiverComparison(
            journal, claims, self._memory, client, settings.session, stop, self._scanning.wake.set
        )
        claim_step = ClaimStep(settings, journal, claims)
        self._align_step = AlignStep(settings, journal, claim_step, self._measurements, stop.is_set, share)
        self._compare_step = CompareStep(settings, journal, stop.is_set, share, claims.ask_now)
        self._send_step = SendStep(
            settings, journal, self.link, claim_step, self._measurements, stop.is_set, self._open_session
        )
        self._last_unfinished_s = time.monotonic()
        self._is_done = False

    # ---- the whole

    def run(self) -> None:
        """Work until `stop` is set, or until nothing was left to do for `exit_when_idle_s`.

        Raises
        ------
        TransferError
            The receiver's first answer is a refusal, such as a wrong token's.
        SessionReplaced
            The receiver's session is another one than the one that the work folder belongs to.
        JournalDamaged
            The journal cannot be used any more: another agent has to begin with a new one.
        """
        self._look_at_pause()
        count = len(self._workers) + SENDERS
        # A request has a short timeout, so that the link notices a failure; `ReceiverLink.persist` retries for ever.
        with ThreadPoolExecutor(count, thread_name_prefix="agent") as threads, self._sender() as sender:
            self._comparison.start()
            running = [threads.submit(self._align_all, worker) for worker in self._workers]
            running += [threads.submit(self._send_all, sender) for _ in range(SENDERS)]
            try:
                with self._status_report(sender):
                    self._scan_until_done(running)
            finally:
                self.stop.set()
                self._nudge()
        for future in running:
            future.result()
        self._comparison.join(_END_S)
        self.health.raise_if_lost()
        if self._memory.failure is not None:
            raise self._memory.failure

    def _look_at_pause(self) -> None:
        """Say that the agent is still paused from an earlier run; end the pause if no request can resume it."""
        if self.journal.about(PAUSED) is None:
            return
        if self._may_be_resumed:
            log.warning(
                "the agent is paused: it aligns and sends nothing new until an admin sends the request `resume`"
            )
        else:
            log.warning(
                "the agent was paused through the receiver; it continues, because it now refuses the request to resume"
            )
            self.journal.note(**{PAUSED: None})

    @contextmanager
    def _status_report(self, sender: Sender) -> Iterator[None]:
        if self._reporting is None:
            yield
            return
        report = StatusReport(
            self.settings,
            self.journal,
            self._reporting,
            self._measurements,
            self._requests,
            lease=self._lease,
            memory=self._memory,
            begin_when=self.link.was_tried,
            on_reached=self.link.try_again,
            sent_bytes=lambda: sender.sent_bytes,
            own_trouble=lambda: self.health.trouble,
            on_account=self._on_account,
        )
        report.start()
        is_clean_end = False
        try:
            yield
            is_clean_end = not self.health.lost
        finally:
            self.stop.set()
            report.stop(final=is_clean_end)

    def _sender(self) -> Sender:
        settings = self.settings
        return Sender(
            self.client,
            connections=settings.connections,
            give_up_after_s=1.0,  # then the agent itself waits for the receiver
            limits_attempts=False,
            pacer=settings.pacer,
            may_use_bbr=settings.may_use_bbr,
            may_compress=settings.may_compress,
        )

    def _scan_until_done(self, running: Iterable[Future[None]]) -> None:
        while not self.stop.is_set() and not any(future.done() for future in running):
            if not self.health.may_work():
                self._last_unfinished_s = time.monotonic()
            elif self._unless_own_fault(self._scan_if_due) and self._is_done:
                return
            self.stop.wait(_STATUS_S)

    def _unless_own_fault(self, action: Callable[[], None]) -> bool:
        """Return whether an action succeeded; a fault of the agent's own machine is noted, and the agent waits."""
        try:
            action()
        except OWN_ERRORS as error:
            if not self.health.note(error):
                raise
            return False
        return True

    def _scan_if_due(self) -> None:
        self._scanning.scan_if_due()
        if self.journal.announce_changes_of_others():
            self._nudge()
        self._is_done = self._is_idle()

    def _share_is_back(self) -> None:
        """Align now what waited for the share."""
        with self._work:
            self._turns.end_back_offs()
            self._work.notify_all()

    def _is_idle(self) -> bool:
        limit_s = self.settings.exit_when_idle_s
        if limit_s is None:
            return False
        counts = self.journal.counts()
        is_working = not self._lease.is_waiting and (
            any(counts[state] for state in UNFINISHED)
            or not self.discovery.comparisons.are_done
            or self._memory.is_comparison_wanted.is_set()
        )
        if self.discovery.source_missing or is_working:
            self._last_unfinished_s = time.monotonic()
        return time.monotonic() - self._last_unfinished_s >= limit_s

    def _nudge(self) -> None:
        with self._work:
            self._work.notify_all()

    # ---- threads that ask whose turn it is

    def _align_all(self, worker: AlignmentWorker) -> None:
        try:
            self._repeat(partial(self._started, worker))
            self.link.was_tried.wait(_FIRST_CONTACT_S)  # so that nothing is aligned that the receiver has
            self._repeat(partial(self._align_next, worker))
        finally:
            worker.close()
            self.stop.set()

    def _started(self, worker: AlignmentWorker) -> bool:
        worker.start()
        return False

    def _align_next(self, worker: AlignmentWorker) -> bool:
        """Align or compare what is next; return whether there will be more."""
        exposure = self._take(Step.ALIGN)
        if isinstance(exposure, UUID):
            self._compare(exposure, worker)
        elif exposure is not None:
            self._do(exposure, partial(self._align_step.run, exposure, worker))
        return exposure is not None

    def _send_all(self, sender: Sender) -> None:
        try:
            self._repeat(self._session_opened)
            self._repeat(partial(self._send_next, sender))
        except LinkStopped:
            return
        finally:
            self.stop.set()

    def _session_opened(self) -> bool:
        self._open_session()
        return False

    def _send_next(self, sender: Sender) -> bool:
        """Send what is next; return whether there will be more."""
        exposure = self._take(Step.SEND)
        if isinstance(exposure, ExposureRow):
            self._do(exposure, partial(self._send_step.run, exposure, sender))
        return exposure is not None

    def _repeat(self, turn: Callable[[], bool]) -> None:
        """Call `turn` until it returns False or the agent stops; wait while the agent's own machine has a fault."""
        while not self.stop.is_set():
            if self.health.trouble:
                self.stop.wait(_STATUS_S)
                continue
            try:
                if not turn():
                    return
            except OWN_ERRORS as error:
                if not self.health.note(error):
                    raise

    def _open_session(self) -> None:
        session = self.link.persist(lambda: self.client.open_session(self.settings.session))
        self._memory.check_session(session.uuid)

    def _take(self, step: Step) -> ExposureRow | UUID | None:
        """Wait until it is an exposure's turn for this step, and return it; None when the agent is stopping.

        An id is that of an exposure whose movie is to be compared, because no movie waits for its alignment.
        """
        while not self.stop.is_set():
            if self.health.trouble:
                self.stop.wait(_STATUS_S)
                continue
            with self._work:
                facts, now_s = self._facts(step), time.monotonic()
                rows = self.journal.waiting(
                    self._turns.states(step, facts),
                    self._turns.rows_needed(now_s),
                    newest_first=self._turns.is_newest_first(step),
                )
                exposure_id = self._turns.take(step, rows, facts, now_s)
                if exposure_id is not None:
                    return self._taken(exposure_id)
                if step is Step.ALIGN and not facts.waiting and not facts.source_down and not self.stop.is_set():
                    touched = self.discovery.comparisons.take()
                    if touched is not None:
                        return touched
                self._work.wait(_POLL_S)
        return None

    def _taken(self, exposure_id: UUID) -> ExposureRow:
        try:
            return self.journal.exposure(exposure_id)
        except OWN_ERRORS:
            self._turns.end(exposure_id, StepEnd.POSTPONED, time.monotonic())
            raise

    def _facts(self, step: Step) -> Facts:
        return Facts(
            stopping=self.stop.is_set(),
            paused=self.journal.about(PAUSED) is not None,
            work_full=step is Step.ALIGN and not self._has_space(),
            source_down=bool(self.discovery.source_missing),
            link_down=self.link.trouble is not None,
            waiting=self._reporting is not None and not self._lease.may_work,
        )

    def _has_space(self) -> bool:
        enough = free_bytes(self.settings.work) >= self.settings.work_reserve_bytes
        if enough != (self.journal.about("work_full") is None):
            if enough:
                log.warning("%s has enough free space again; alignment goes on", self.settings.work)
            else:
                log.warning(
                    "%s: less than %d bytes are free on its disk; nothing is aligned until there is more space",
                    self.settings.work, self.settings.work_reserve_bytes,
                )  # fmt: skip
            self.journal.note(work_full=None if enough else "too little space is left in the work folder")
        return enough

    def _compare(self, exposure_id: UUID, worker: AlignmentWorker) -> None:
        is_compared = False
        try:
            is_compared = contained(partial(self._compare_step.run, exposure_id, worker), self._not_compared)
        finally:
            self.discovery.comparisons.end(exposure_id, has_failed=not is_compared)

    def _not_compared(self, error: Exception) -> bool:
        if not self.health.note(error):
            log.exception("a movie could not be compared: unexpected")
        return False

    def _do(self, exposure: ExposureRow, step: Callable[[], StepEnd]) -> None:
        """Do one step for one exposure; an unexpected error concerns this exposure alone."""
        end = StepEnd.POSTPONED
        try:
            end = contained(step, partial(self._unexpected, exposure))
        finally:
            with self._work:
                self._turns.end(exposure.exposure_id, end, time.monotonic())
                self._work.notify_all()
            if end is StepEnd.BACKED_OFF:
                self._scanning.recovery.failed(movie_path(self.settings.source, exposure.movie))

    def _unexpected(self, exposure: ExposureRow, error: Exception) -> StepEnd:
        if self.health.note(error):  # it says nothing about this exposure
            return StepEnd.POSTPONED
        if (of_share := error_of_share(error)) is not None:
            log.warning("%s: the share or a disk reported an error; it is tried again: %s", exposure.movie, of_share)
            return StepEnd.BACKED_OFF
        if isinstance(error, WrongTransition):
            log.warning("%s: another process changed its state meanwhile (%s)", exposure.movie, error)
            return StepEnd.POSTPONED
        log.exception("%s (%s): unexpected", exposure.movie, exposure.exposure_id)
        reason = f"unexpected {type(error).__name__}: {error}"
        return set_aside(self.journal, exposure, reason, "Please report this defect, with the agent's log.")
