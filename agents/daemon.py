"""The agent: finds movies, has them aligned, sends what came out, and can be killed at any instant.

One thread scans and settles, one for each worker has movies aligned, a few send. They meet in the journal alone: what
each does next is what the journal says, so that a restart simply continues.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import UUID

from agents.boundary import contained
from agents.finding.discovery import Discovery
from agents.finding.scan import Hints
from agents.journal.file_identity import FileIdentity
from agents.journal.journal import Journal, JournalError
from agents.journal.rows import ExposureRow
from agents.journal.states import UNFINISHED, State
from agents.layouts import Layout
from agents.sending.publish import exposure_record, outputs_folder, publish_record, seal_outputs, send_outputs
from agents.sending.receiver_link import LinkStopped, ReceiverLink
from agents.work_folder import free_bytes
from agents.workers.contract import AlignmentFailure, AlignmentJob, AlignmentWorker, FailureKind
from agents.workers.jobs import from_json, to_json, with_changes
from preprocess.exposure.chosen import ChosenAlignment
from transfer.client import ReceiverClient
from transfer.pace.pacer import Pacer
from transfer.upload.sender import Sender
from transfer.wire.errors import TransferError, TransferStopped

log = logging.getLogger(__name__)

SENDERS = 2
MAX_ATTEMPTS = 3
_POLL_S = 1.0
_POSTPONE_S = 5.0
_STATUS_S = 0.2
_SHORTEST_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """Everything that an agent is told."""

    source: Path
    work: Path
    session: str
    layout: Layout
    chosen: ChosenAlignment
    settle_s: float = 30.0
    give_up_s: float = 600.0
    scan_s: float = 5.0
    align_timeout_s: float = 1800.0
    keep_outputs: bool = False
    work_reserve_bytes: int = 1 << 30
    connections: int | None = None  # None: as many as pay
    may_compress: bool = True
    may_use_bbr: bool = True
    pacer: Pacer | None = None
    background: tuple[str, ...] = ()  # patterns of the names of files that are sent after all others
    exit_when_idle_s: float | None = None


class Agent:
    """One session's agent.

    Parameters
    ----------
    workers
        What aligns movies; each gets a thread of the agent's and is closed at the end.
    stop
        Set by a signal handler or by whoever runs the agent: everything ends, nothing half done stays.
    """

    def __init__(
        self,
        settings: WatchSettings,
        journal: Journal,
        client: ReceiverClient,
        workers: Sequence[AlignmentWorker],
        stop: threading.Event,
    ) -> None:
        self.settings, self.journal, self.client, self.stop = settings, journal, client, stop
        self._workers = workers
        self.link = ReceiverLink(journal, stop)
        self.discovery = Discovery(
            journal,
            settings.source,
            settings.layout,
            settle_s=settings.settle_s,
            give_up_s=settings.give_up_s,
        )
        self._wake_scan = threading.Event()
        self._work = threading.Condition()
        self._in_hand: set[UUID] = set()
        self._not_before: dict[UUID, float] = {}
        self._last_unfinished_s = time.monotonic()

    # ---- the whole

    def run(self) -> None:
        """Work until `stop` is set, or until nothing was left to do for `exit_when_idle_s`.

        Raises
        ------
        TransferError
            The receiver's first answer is a refusal, such as a wrong token's.
        """
        hints = Hints(self.settings.source, self._wake_scan.set)
        hints.start()
        count = len(self._workers) + SENDERS
        # Sending gives up a request soon, so that the link can tell; `ReceiverLink.persist` never does.
        with ThreadPoolExecutor(count, thread_name_prefix="agent") as threads, self._sender() as sender:
            running = [threads.submit(self._align_all, worker) for worker in self._workers]
            running += [threads.submit(self._send_all, sender) for _ in range(SENDERS)]
            try:
                self._scan_until_done(running)
            finally:
                self.stop.set()
                self._nudge()
                hints.stop()
        for future in running:
            future.result()

    def _sender(self) -> Sender:
        settings = self.settings
        return Sender(
            self.client,
            connections=settings.connections,
            give_up_after_s=1.0,
            pacer=settings.pacer,
            may_use_bbr=settings.may_use_bbr,
            may_compress=settings.may_compress,
        )

    def _scan_until_done(self, running: Iterable[Future[None]]) -> None:
        next_scan_s = earliest_scan_s = 0.0
        while not self.stop.is_set() and not any(future.done() for future in running):
            begin_s = time.monotonic()
            if begin_s >= next_scan_s or (self._wake_scan.is_set() and begin_s >= earliest_scan_s):
                self._wake_scan.clear()
                if self.discovery.scan_once():
                    self._nudge()
                end_s = time.monotonic()
                # a movie that grows wakes the scan all the time: at most a tenth of it is spent on scans
                earliest_scan_s = end_s + max(_SHORTEST_PAUSE_S, 10 * (end_s - begin_s))
                next_scan_s = end_s + self.discovery.pause_s(self.settings.scan_s)
            if self.journal.announce_changes_of_others():
                self._nudge()
            if self._is_idle():
                return
            self.stop.wait(_STATUS_S)

    def _is_idle(self) -> bool:
        limit_s = self.settings.exit_when_idle_s
        if limit_s is None:
            return False
        counts = self.journal.counts()
        if self.discovery.source_missing or any(counts[state] for state in UNFINISHED):
            self._last_unfinished_s = time.monotonic()
        return time.monotonic() - self._last_unfinished_s >= limit_s

    def _nudge(self) -> None:
        with self._work:
            self._work.notify_all()

    # ---- whose turn it is

    def _take(
        self, states: Iterable[State], *, newest_first: bool = False, only_if: Callable[[], bool] = lambda: True
    ) -> ExposureRow | None:
        """Return the next exposure in these states that nobody has in hand; None when the agent is ending."""
        wanted = tuple(states)
        while not self.stop.is_set():
            with self._work:
                now = time.monotonic()
                self._not_before = {key: until for key, until in self._not_before.items() if until > now}
                not_these = self._in_hand | self._not_before.keys()
                exposure = self.journal.next_in(wanted, not_these, newest_first=newest_first) if only_if() else None
                if exposure is not None:
                    self._in_hand.add(exposure.exposure_id)
                    return exposure
                self._work.wait(_POLL_S)
        return None

    def _put_back(self, exposure: ExposureRow) -> None:
        with self._work:
            self._in_hand.discard(exposure.exposure_id)
            self._work.notify_all()

    def _postpone(self, exposure: ExposureRow) -> None:
        with self._work:
            self._not_before[exposure.exposure_id] = time.monotonic() + _POSTPONE_S

    def _guarded(self, exposure: ExposureRow, step: Callable[[ExposureRow], None]) -> None:
        """Do one step for one exposure; whatever goes wrong concerns this exposure alone."""
        try:
            contained(partial(self._step, exposure, step), partial(self._unexpected, exposure))
        finally:
            self._put_back(exposure)

    @staticmethod
    def _step(exposure: ExposureRow, step: Callable[[ExposureRow], None]) -> None:
        with suppress(LinkStopped, TransferStopped):
            step(exposure)

    def _unexpected(self, exposure: ExposureRow, error: Exception) -> None:
        if isinstance(error, JournalError):
            raise error  # without its journal the agent cannot go on
        log.exception("%s (%s): unexpected", exposure.movie, exposure.exposure_id)
        self._fail(exposure, f"unexpected {type(error).__name__}: {error}", "See the agent's log.")

    def _fail(self, exposure: ExposureRow, reason: str, hint: str, *, to: State = State.FAILED) -> None:
        log.warning("%s: %s", exposure.movie, reason)
        if self.journal.exposure(exposure.exposure_id).state == State.COMMITTED:
            self._postpone(exposure)  # it has arrived; only its outputs are not cleared away yet
            return
        self.journal.change(exposure.exposure_id, to, reason, hint)

    # ---- aligning

    def _align_all(self, worker: AlignmentWorker) -> None:
        try:
            worker.start()
            while exposure := self._take([State.FINISHED], only_if=self._has_space):
                self._guarded(exposure, partial(self._align, worker=worker))
        finally:
            worker.close()
            self.stop.set()

    def _has_space(self) -> bool:
        enough = free_bytes(self.settings.work) >= self.settings.work_reserve_bytes
        if enough != (self.journal.about("work_full") is None):
            log.warning("work folder: %s", "space again" if enough else "too little space left; alignment waits")
            self.journal.note(work_full=None if enough else "too little space is left in the work folder")
        return enough

    def _align(self, exposure: ExposureRow, worker: AlignmentWorker) -> None:
        settings = self.settings
        movie, out = settings.source / exposure.movie, outputs_folder(settings.work, exposure)
        if not self._is_unchanged(exposure, movie):
            return
        shutil.rmtree(out, ignore_errors=True)  # what an agent or worker that died left half done
        out.mkdir(parents=True)
        base = with_changes(to_json(settings.chosen), exposure.changes)
        job = AlignmentJob(
            movie=str(movie),
            outputs=str(out),
            settings=to_json(self._with_gain(from_json(base), movie)),
            timeout_s=settings.align_timeout_s,
        )
        answer = worker.align(job, self.stop.is_set)
        if isinstance(answer, AlignmentFailure):
            _throw_away(out)
            if answer.kind is not FailureKind.STOPPED and self._is_unchanged(exposure, movie):
                self._not_aligned(exposure, answer)
            return
        if not self._is_unchanged(exposure, movie):
            _throw_away(out)
            return
        outputs = seal_outputs(self.journal, settings.work, exposure, answer)
        record = exposure_record(exposure, answer, outputs)
        self.journal.seal(exposure.exposure_id, settings=base, outputs=outputs, record=record)

    def _is_unchanged(self, exposure: ExposureRow, movie: Path) -> bool:
        """Return whether the movie is still the one that settled; otherwise it has to settle again."""
        try:
            now = FileIdentity.of(movie.stat())
        except FileNotFoundError:
            now = None
        except OSError as error:  # the share dropped out; the scan tells
            self._postpone(exposure)
            log.warning("%s cannot be read now: %s", exposure.movie, error.strerror)
            return False
        if now is not None and exposure.identity is not None and now.same_content(exposure.identity):
            return True
        self.journal.change(exposure.exposure_id, State.FOUND, "the movie changed after it was finished")
        return False

    def _with_gain(self, chosen: ChosenAlignment, movie: Path) -> ChosenAlignment:
        if chosen.settings.gain.path is not None:
            return chosen
        gain = replace(chosen.settings.gain, path=self.settings.layout.gain(movie, self.settings.source))
        return replace(chosen, settings=replace(chosen.settings, gain=gain))

    def _not_aligned(self, exposure: ExposureRow, failure: AlignmentFailure) -> None:
        match failure.kind:
            case FailureKind.POSTPONED:
                self._postpone(exposure)
                log.warning("%s: %s; it is tried again", exposure.movie, failure.reason)
            case FailureKind.DIED | FailureKind.HUNG:
                if self.journal.count_attempt(exposure.exposure_id) >= MAX_ATTEMPTS:
                    self._fail(exposure, f"{failure.reason}, {MAX_ATTEMPTS} times", failure.hint)
                else:
                    log.warning("%s: %s; it is tried again", exposure.movie, failure.reason)
            case FailureKind.HELD_BACK:
                self._fail(exposure, failure.reason, failure.hint, to=State.HELD)
            case _:
                self._fail(exposure, failure.reason, failure.hint)

    # ---- sending

    def _send_all(self, sender: Sender) -> None:
        try:
            self._open_session()
            while exposure := self._take([State.COMMITTED, State.SENDING, State.ALIGNED], newest_first=True):
                self._guarded(exposure, partial(self._send, sender=sender))
        except LinkStopped:
            return
        finally:
            self.stop.set()

    def _open_session(self) -> None:
        self.link.persist(lambda: self.client.open_session(self.settings.session))

    def _send(self, exposure: ExposureRow, sender: Sender) -> None:
        exposure_id, settings = exposure.exposure_id, self.settings
        if exposure.state == State.ALIGNED:
            exposure = self.journal.change(exposure_id, State.SENDING)
        try:
            if exposure.state == State.SENDING:
                self.link.persist(
                    lambda: send_outputs(
                        self.journal,
                        settings.work,
                        settings.session,
                        exposure,
                        sender,
                        self.stop.is_set,
                        background=settings.background,
                    )
                )
                self.link.persist(lambda: publish_record(self.client, settings.session, exposure))
                self.journal.change(exposure_id, State.COMMITTED)
        except TransferStopped:
            return
        except TransferError as error:
            self._fail(exposure, f"{type(error).__name__}: {error}", error.hint)
            return
        outputs = outputs_folder(settings.work, exposure).parent
        if not settings.keep_outputs and outputs.exists():
            shutil.rmtree(outputs)
        self.journal.change(exposure_id, State.RELEASED)


def _throw_away(out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    if not any(out.parent.iterdir()):
        out.parent.rmdir()
