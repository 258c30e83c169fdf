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
from api.registrars import Registrar, RegistrarUnavailable, RegistrationOutcome, SessionPlace
from api.registrars.call_watch import CallWatch
from api.registrars.outbox import Outbox, PendingBatch
from api.registrars.relion import RelionRegistrar
from api.registrars.scipion import ScipionRegistrar
from api.registrars.settings import RegistrarSettings
from api.registrars.shared_optics import SharedOptics
from api.registrars.troubles import TroubleFile, Troubles, delay_s
from api.registrars.verdict_outbox import VerdictOutbox
from transfer.disk.locks import FileLock
from transfer.wire.protocol import RegistrarTrouble, RegistrationState

log = logging.getLogger(__name__)

TICK_S = 0.5
WATCH_EVERY_S = 1.0
UPDATE_PROJECTS_EVERY_S = 1.0
BATCH = 200
OK = "ok"
FAULTS = (ArithmeticError, AttributeError, LookupError, MemoryError, OSError, TypeError, ValueError)
"""What a registrar raises that meets a broken file, a full disk or an error of its own. It holds up neither its other
sessions nor the other registrars."""


def make_registrars(settings: RegistrarSettings, data: Path) -> list[Registrar]:
    """Return the registrars that run."""
    chosen: list[Registrar] = []
    optics = SharedOptics()
    if settings.scipion:
        chosen.append(ScipionRegistrar(settings, settings.projects or data / "scipion-projects", optics))
    if settings.relion:
        chosen.append(RelionRegistrar(settings, optics))
    return chosen


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
        self._watching: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """Whether every registrar's thread runs."""
        return bool(self._workers) and all(worker.thread.is_alive() for worker in self._workers)

    def health(self) -> dict[str, str]:
        """Return `ok` or the problem of each registrar, whichever process runs it."""
        troubles: dict[str, list[str]] = {}
        for trouble in self.troubles():
            whose = "" if trouble.session is None else f"session {trouble.session}: "
            troubles.setdefault(trouble.registrar, []).append(whose + trouble.reason)
        names = [worker.registrar.name for worker in self._workers]
        return {name: "; ".join(troubles[name]) if name in troubles else OK for name in names}

    def troubles(self) -> list[RegistrarTrouble]:
        """Return the registrars that are in trouble, at all or for a session, whichever process runs them."""
        held = self._leader.held
        return [one for worker in self._workers for one in (worker.troubles.present if held else worker.file.read())]

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
        self._watching = threading.Thread(target=self._watch, name="registrars' watch", daemon=True)
        self._watching.start()

    def stop(self) -> None:
        """Finish the present batches, end the threads and the registrars, free the lock.

        A registrar that hangs is left behind; the lock then stays until the process ends, so that no other process
        works beside it.
        """
        self._stopping.set()
        if self._watching is not None:
            self._watching.join()
        for worker in self._workers:
            while worker.thread.is_alive() and not worker.watch.hang():
                worker.thread.join(WATCH_EVERY_S)
            if worker.thread.is_alive():
                log.warning("registrar %s hangs; the receiver ends without it", worker.registrar.name)
            elif self._leader.held:
                worker.registrar.stop()
        if not any(worker.thread.is_alive() for worker in self._workers):
            self._leader.release()
        self._workers = []

    def _watch(self) -> None:
        """Note which registrars hang, as they cannot do it themselves."""
        while not self._stopping.wait(WATCH_EVERY_S):
            for worker in self._workers:
                if self._leader.held and (hang := worker.watch.hang()):
                    worker.troubles.note(None, hang)


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
        self.troubles = Troubles(registrar.name, file)
        self.watch = CallWatch()
        self.thread = threading.Thread(target=self._run, name=f"registrar-{registrar.name}", daemon=True)
        self._outbox = outbox
        self._verdicts = verdicts
        self._leader = leader
        self._stopping = stopping
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
                    self.troubles.forget()
                    self._leads = True
                try:
                    self._turn()
                except RegistrarUnavailable as error:
                    pause_s = self.troubles.note(None, str(error))
                except DBAPIError as error:  # its text has the statement with all values
                    pause_s = self.troubles.note(None, f"the receiver's database reported an error: {error.orig}")
                except (SQLAlchemyError, *FAULTS) as error:
                    pause_s = self.troubles.note(None, f"{type(error).__name__}: {error}", error)
                else:
                    self.troubles.warn(self.registrar.warning)
            self._stopping.wait(pause_s)

    def _turn(self) -> None:
        """Do what is due; what fails for one session is noted, and holds up no other one."""
        if not self._checked:
            self._check()
        failed: set[str] = set()
        waiting = self.troubles.waiting()
        for batch in self._outbox.batches(BATCH, self._waiting(), waiting):
            self._outbox.note_project(batch.session_id, self.registrar.project(batch.place))
            try:
                with self.watch.call(f"registering exposures of session {batch.place.name}"):
                    outcomes = self.registrar.register(batch.place, batch.exposures)
            except (RegistrarUnavailable, *FAULTS) as error:
                self._outbox.explain(batch, self._note(error, batch.place, failed))
                continue
            self._settle(batch, outcomes)
        self._tell_verdicts(failed)
        if self._update_projects(failed):
            self.troubles.clear_tried(failed, waiting)

    def _note(self, error: Exception, place: SessionPlace, failed: set[str]) -> str:
        """Note what failed for a session; return the reason."""
        is_foreseen = isinstance(error, (RegistrarUnavailable, OSError))
        reason = _reason(error)
        if place.name not in failed:  # its first error in a turn is the one to know of
            failed.add(place.name)
            self.troubles.note(place.name, reason, None if is_foreseen else error)
        return reason

    def _tell_verdicts(self, failed: set[str]) -> None:
        """Tell the registrar which verdicts have changed."""
        if time.monotonic() - self._told_at < self.registrar.verdict_pause_s:
            return
        waiting = self.troubles.waiting()
        for batch in self._verdicts.batches():
            if batch.place.name in waiting:
                continue
            self._told_at = time.monotonic()
            try:
                with self.watch.call(f"noting verdicts of session {batch.place.name}"):
                    self.registrar.verdicts_changed(batch.place, batch.verdicts)
            except (RegistrarUnavailable, *FAULTS) as error:
                self._note(error, batch.place, failed)
                continue
            self._verdicts.note_told(batch)

    def _check(self) -> None:
        try:
            with self.watch.call("looking whether it can work"):
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

    def _update_projects(self, failed: set[str]) -> bool:
        """Have the registrar look after its projects, at most once a second; return whether it did."""
        if time.monotonic() - self._updated_at < UPDATE_PROJECTS_EVERY_S:
            return False
        self._updated_at = time.monotonic()
        waiting = self.troubles.waiting()
        for session in self._outbox.open_projects():
            if session.place.name in waiting:
                continue
            try:
                with self.watch.call(f"the project of session {session.place.name}"):
                    closed = self.registrar.update_project(session.place, ended=session.ended)
            except (RegistrarUnavailable, *FAULTS) as error:
                self._note(error, session.place, failed)
                continue
            if closed:
                self._outbox.note_closed(session.session_id)
        return True


def _reason(error: Exception) -> str:
    """Return what failed and, where that is the receiver's disk, what to do."""
    if isinstance(error, RegistrarUnavailable):
        return str(error)
    if isinstance(error, OSError):
        what = error.strerror or str(error)
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{what}. Check this path and its disk; the receiver tries again by itself"
    return f"it cannot be registered: {type(error).__name__}: {error}"
