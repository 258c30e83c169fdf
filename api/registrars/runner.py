"""Gives pending exposures of the outbox to the registrars, in a thread for each registrar.

Several processes may run on one data folder (uvicorn's workers). The one that holds the lock works; the others wait for
the lock. After a restart nothing is missing: all state is in the database.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from api.database.engine import Database
from api.database.tables import now
from api.registrars import Registrar, RegistrarUnavailable, RegistrationOutcome, SessionPlace
from api.registrars.outbox import Outbox, PendingBatch
from api.registrars.relion import RelionRegistrar
from api.registrars.scipion import ScipionRegistrar
from api.registrars.settings import RegistrarSettings
from api.registrars.troubles import TroubleFile
from api.registrars.verdict_outbox import VerdictOutbox
from transfer.disk.locks import FileLock
from transfer.wire.protocol import RegistrarTrouble, RegistrationState

log = logging.getLogger(__name__)

TICK_S = 0.5
UPDATE_PROJECTS_EVERY_S = 1.0
BATCH = 200
LONGEST_DELAY_S = 300.0
OK = "ok"
FAULTS = (ArithmeticError, AttributeError, LookupError, MemoryError, OSError, TypeError, ValueError)
"""What a registrar raises that meets a broken file, a full disk or an error of its own. It holds up neither its other
sessions nor the other registrars."""


class UnforeseenError(RegistrarUnavailable):
    """A registrar met an error that nobody foresaw; its cause is logged with its place in the code."""


def make_registrars(settings: RegistrarSettings, data: Path) -> list[Registrar]:
    """Return the registrars that run."""
    chosen: list[Registrar] = []
    if settings.scipion:
        chosen.append(ScipionRegistrar(settings, settings.projects or data / "scipion-projects"))
    if settings.relion:
        chosen.append(RelionRegistrar(settings))
    return chosen


def delay_s(attempts: int) -> float:
    """Return how long to wait after so many failed attempts: 1, 2, 4, … s, at most five minutes."""
    return float(min(LONGEST_DELAY_S, 2.0 ** min(attempts, 20)))


class RegistrarRunner:
    """Runs the registrars beside the receiver until it is stopped.

    Parameters
    ----------
    settings
        Which registrars run.
    database
        The receiver's database.
    data
        The receiver's data folder.
    """

    def __init__(self, settings: RegistrarSettings, database: Database, data: Path) -> None:
        self._settings = settings
        self._database = database
        self._data = data.absolute()
        self._leader = FileLock(data / "registrars.lock")
        self._stopping = threading.Event()
        self._workers: list[RegistrarThread] = []

    @property
    def alive(self) -> bool:
        """Whether every registrar's thread runs."""
        return bool(self._workers) and all(worker.thread.is_alive() for worker in self._workers)

    def health(self) -> dict[str, str]:
        """Return `ok` or the problem of each registrar, whichever process runs it."""
        troubles = {trouble.registrar: trouble.reason for trouble in self.troubles()}
        return {worker.registrar.name: troubles.get(worker.registrar.name, OK) for worker in self._workers}

    def troubles(self) -> list[RegistrarTrouble]:
        """Return the registrars that are in trouble, whichever process runs them."""
        found = (worker.trouble if self._leader.held else worker.file.read() for worker in self._workers)
        return [trouble for trouble in found if trouble is not None]

    def start(self) -> None:
        """Start a thread for each registrar."""
        self._stopping.clear()
        for registrar in make_registrars(self._settings, self._data):
            worker = RegistrarThread(
                registrar,
                Outbox(self._database, self._data, registrar.name),
                VerdictOutbox(self._database, self._data, registrar.name),
                self._leader,
                self._stopping,
                TroubleFile(self._data, registrar.name),
            )
            self._workers.append(worker)
            worker.thread.start()

    def stop(self) -> None:
        """Finish the present batches, end the threads and the registrars, free the lock."""
        self._stopping.set()
        for worker in self._workers:
            worker.thread.join()
            if self._leader.held:
                worker.registrar.stop()
        self._workers = []
        self._leader.release()


class RegistrarThread:
    """One registrar's thread."""

    def __init__(
        self,
        registrar: Registrar,
        outbox: Outbox,
        verdicts: VerdictOutbox,
        leader: FileLock,
        stopping: threading.Event,
        file: TroubleFile,
    ) -> None:
        self.registrar = registrar
        self.file = file
        self.trouble: RegistrarTrouble | None = None
        self.thread = threading.Thread(target=self._run, name=f"registrar-{registrar.name}", daemon=True)
        self._outbox = outbox
        self._verdicts = verdicts
        self._leader = leader
        self._stopping = stopping
        self._failures = 0
        self._checked = False
        self._retry_at: dict[int, float] = {}  # number of a failed row -> when it is tried again
        self._updated_at = float("-inf")
        self._told_at = float("-inf")
        self._leads = False

    def _run(self) -> None:
        while not self._stopping.is_set():
            pause_s = TICK_S
            if self._leader.try_acquire():
                if not self._leads:
                    self.file.clear()  # what a process noted that has ended
                    self._leads = True
                try:
                    self._turn()
                except UnforeseenError as error:
                    pause_s = self._note_problem(str(error), error.__cause__)
                except RegistrarUnavailable as error:
                    pause_s = self._note_problem(str(error))
                except DBAPIError as error:  # its text has the statement with all values
                    pause_s = self._note_problem(f"the receiver's database reported an error: {error.orig}")
                except (SQLAlchemyError, *FAULTS) as error:
                    pause_s = self._note_problem(f"{type(error).__name__}: {error}", error)
                else:
                    self._note_success()
            self._stopping.wait(pause_s)

    def _note_problem(self, reason: str, unexpected: BaseException | None = None) -> float:
        self._note_trouble(reason, unexpected)
        pause_s = min(delay_s(self._failures), 60.0)
        self._failures += 1
        return pause_s

    def _note_trouble(self, reason: str, unexpected: BaseException | None = None) -> None:
        if self.trouble is None or reason != self.trouble.reason:
            log.warning("registrar %s is in trouble: %s", self.registrar.name, reason, exc_info=unexpected)
            self.trouble = self.file.note(reason, now() if self.trouble is None else self.trouble.since)

    def _note_success(self) -> None:
        self._failures = 0
        if self.registrar.warning:
            self._note_trouble(self.registrar.warning)
            return
        if self.trouble is not None:
            lasted_s = (now() - self.trouble.since).total_seconds()
            log.info("registrar %s works again, after %.0f s of trouble", self.registrar.name, lasted_s)
            self.file.clear()
        self.trouble = None

    def _turn(self) -> None:
        if not self._checked:
            self._check()
        unavailable: RegistrarUnavailable | None = None
        waiting = self._waiting()
        for batch in self._outbox.batches(BATCH, waiting):
            self._outbox.note_project(batch.session_id, self.registrar.project(batch.place))
            try:
                outcomes = self.registrar.register(batch.place, batch.exposures)
            except (RegistrarUnavailable, *FAULTS) as error:
                unavailable = _as_unavailable(error, batch.place)
                self._outbox.explain(batch, str(unavailable))
                continue
            self._settle(batch, outcomes)
        unavailable = self._tell_verdicts() or unavailable
        unavailable = self._update_projects() or unavailable
        if unavailable:
            raise unavailable

    def _tell_verdicts(self) -> RegistrarUnavailable | None:
        """Tell the registrar which verdicts have changed; return why it cannot take some."""
        unavailable: RegistrarUnavailable | None = None
        if time.monotonic() - self._told_at < self.registrar.verdict_pause_s:
            return None
        for batch in self._verdicts.batches():
            self._told_at = time.monotonic()
            try:
                self.registrar.verdicts_changed(batch.place, batch.verdicts)
            except (RegistrarUnavailable, *FAULTS) as error:
                unavailable = _as_unavailable(error, batch.place)
                continue
            self._verdicts.note_told(batch)
        return unavailable

    def _check(self) -> None:
        try:
            self.registrar.check()
        except RegistrarUnavailable as error:
            for batch in self._outbox.batches(BATCH, ()):
                self._outbox.explain(batch, str(error))
            raise
        self._checked = True

    def _waiting(self) -> list[int]:
        present_s = time.monotonic()
        return [number for number, moment in self._retry_at.items() if moment > present_s]

    def _settle(self, batch: PendingBatch, outcomes: dict[int, RegistrationOutcome]) -> None:
        for number, outcome in outcomes.items():
            if outcome.state is RegistrationState.FAILED:
                self._retry_at[number] = time.monotonic() + delay_s(batch.attempts[number])
            else:
                self._retry_at.pop(number, None)
        self._outbox.settle(batch, outcomes)

    def _update_projects(self) -> RegistrarUnavailable | None:
        """Have the registrar look after its projects; return why it cannot do so with some."""
        unavailable: RegistrarUnavailable | None = None
        if time.monotonic() - self._updated_at < UPDATE_PROJECTS_EVERY_S:
            return None
        self._updated_at = time.monotonic()
        for session in self._outbox.open_projects():
            try:
                closed = self.registrar.update_project(session.place, ended=session.ended)
            except (RegistrarUnavailable, *FAULTS) as error:
                unavailable = _as_unavailable(error, session.place)
                continue
            if closed:
                self._outbox.note_closed(session.session_id)
        return unavailable


def _as_unavailable(error: Exception, place: SessionPlace) -> RegistrarUnavailable:
    """Return what to report of an error in one session."""
    if isinstance(error, RegistrarUnavailable):
        return error
    if isinstance(error, OSError):
        return RegistrarUnavailable(str(error))
    unforeseen = UnforeseenError(f"session {place.name} cannot be registered: {type(error).__name__}: {error}")
    unforeseen.__cause__ = error
    return unforeseen
