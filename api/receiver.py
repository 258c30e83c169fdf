"""What all routes share: the settings, the database and the disk of one receiver."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

from fastapi import Request

from api.checking.background import BackgroundChecks
from api.checking.turns import BackgroundTurns
from api.checking.verification_book import VerificationBook
from api.checking.verifier import Verifier
from api.database.engine import Database
from api.database.tables import now
from api.exports.ended_sessions import EndedSessions
from api.exports.exporter import SessionExporter
from api.intake.activity import ACTIVITY_NAME, IntakeActivity
from api.intake.batches import Batches
from api.intake.body_threads import BodyThreads, ThreadTurns
from api.intake.contract import IntakeResources
from api.intake.upload_connections import UploadConnections
from api.registrars.runner import RegistrarRunner
from api.settings import ReceiverSettings
from api.store.account_alarms import AccountAlarms
from api.store.committed_files import CommittedFiles
from api.store.storage import Storage
from api.store.upload_book import UploadBook
from transfer.disk.locks import FileLock
from transfer.wire.versions import SpokenVersions, our_versions

BODY_THREADS = 12
MOST_BODY_THREADS_OF_TOKEN = 8


class Receiver:
    """One receiver in one process."""

    def __init__(self, settings: ReceiverSettings, spoken: SpokenVersions | None = None) -> None:
        self.settings = settings
        self.spoken = spoken or our_versions()
        self.clock: Callable[[], datetime] = now
        self.storage = Storage(settings.data, settings.reserve_bytes)
        self.database = Database(settings.database_url)
        self.alarms = AccountAlarms()
        self.committed = CommittedFiles(self.database, self.storage)
        self.uploads = UploadBook(
            self.database, settings.run_id, self.committed, max_open_uploads=settings.max_open_uploads
        )
        self.upload_connections = UploadConnections()
        self.activity = IntakeActivity(settings.data / ACTIVITY_NAME)
        self.intake = IntakeResources(
            self.uploads,
            self.storage,
            BodyThreads(ThreadTurns(BODY_THREADS, MOST_BODY_THREADS_OF_TOKEN)),
            settings.body_timeout_s,
            self.activity,
            Batches(),
        )
        self.checks_end = threading.Event()
        self.turns = BackgroundTurns(self.activity, self.checks_end)
        book = VerificationBook(settings.data / "verifications")
        self.verifier = Verifier(book, self.database, self.storage, self.turns)
        self.background = BackgroundChecks(
            self.database,
            self.storage,
            self.turns,
            self.checks_end,
            FileLock(settings.data / "checks.lock"),
            settings.run_id,
        )
        self.registrars = RegistrarRunner(settings.registrars, self.database, settings.data)
        self.exporter = SessionExporter(self.database, settings.data, settings.registrars, self.checks_end)
        self.ended_sessions = EndedSessions(self.database, self.exporter, settings.registrars, self.checks_end)

    def start_checks(self) -> None:
        """Start the background work that reads files."""
        self.checks_end.clear()
        self.background.start()
        self.ended_sessions.start()

    def stop_checks(self) -> None:
        """End all background work that reads files."""
        self.checks_end.set()
        self.verifier.join()
        self.background.join()
        self.ended_sessions.join()

    @property
    def registrar_names(self) -> tuple[str, ...]:
        """The registrars that run."""
        return self.settings.registrars.names()


def receiver_of(request: Request) -> Receiver:
    """Return the receiver that a request is for."""
    receiver: Receiver = request.app.state.receiver
    return receiver
