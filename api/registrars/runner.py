"""The outbox's worker: one thread of one process a data folder hands pending exposures to the registrars."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from api.registrars.leader import LeaderLock
from api.registrars.settings import RegistrarSettings

log = logging.getLogger(__name__)

TICK_S = 1.0


class RegistrarRunner:
    """Runs the registrars beside the receiver until it is stopped.

    Parameters
    ----------
    settings
        Which registrars run.
    database
        The receiver's database, with the tables `sessions`, `exposures` and `registrations`.
    data
        The receiver's data folder.
    """

    def __init__(self, settings: RegistrarSettings, database: object, data: Path) -> None:
        self._settings = settings
        self._database = database
        self._leader = LeaderLock(data / "registrars.lock")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """Whether the worker's thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin to work in a thread of its own."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="registrars", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch at hand, release the lead, end the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._leader.release()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._leader.try_acquire():
                log.debug("this process leads the registrars")
            self._stopping.wait(TICK_S)
