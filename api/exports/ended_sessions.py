"""Exports sessions that have ended, in the background.

The end of a session adds a row for the exports to the table of registrars' projects. What opens these again opens the
exports too: further exposures, verdicts, a session that is reopened. So nothing is missed after a restart, and exports
of an ended session are made again after late data.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Select, exists, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from api.database.engine import Database
from api.database.tables import EXPORTS, events, now, projects, registration_counts, sessions
from api.exports.exporter import SessionExporter
from api.registrars.settings import RegistrarSettings
from transfer.wire.errors import ReceiverBusy
from transfer.wire.protocol import SessionState
from transfer.wire.session_exports import SessionExports

log = logging.getLogger(__name__)

TICK_S = 2.0
LEAST_PAUSE_S = 60.0
PAUSE_IN_EXPORTS = 50.0
"""A session is exported again after so many times what its export took, and at the earliest after `LEAST_PAUSE_S`: late
data may come for hours, and a client may end and reopen a session as often as it likes."""
STOP_WITHIN_S = 5.0


def export_when_over(connection: Connection, session_id: int, folder: Path) -> None:
    """Have a session exported when it has ended and is registered; belongs into the transaction that ends it.

    Parameters
    ----------
    folder
        The session's folder.
    """
    here = projects.c.session_id == session_id, projects.c.registrar == EXPORTS
    if connection.scalar(select(projects.c.closed).where(*here)) is None:
        row = {"session_id": session_id, "registrar": EXPORTS, "location": str(folder), "closed": False}
        connection.execute(insert(projects).values(row))


class DueSession(NamedTuple):
    """A session to export; `event` is the number of its last event, which changes whenever the session does."""

    id: int
    name: str
    event: int


class EndedSessions:
    """The thread of one process that exports ended sessions.

    Parameters
    ----------
    database
        The receiver's.
    exporter
        Makes the exports.
    registrars
        Which registrars run. Micrographs and groups are RELION's, so that others are not waited for where it runs.
    stopping
        Set when the receiver ends.
    clock
        Tells the time.
    """

    def __init__(
        self,
        database: Database,
        exporter: SessionExporter,
        registrars: RegistrarSettings,
        stopping: threading.Event,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._database = database
        self._exporter = exporter
        self._awaited = ("relion",) if registrars.relion else registrars.names()
        self._clock = clock
        self._stopping = stopping
        self._thread: threading.Thread | None = None
        self._not_before: dict[int, float] = {}

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="cryoferry-exports", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the thread, which ends when `stopping` is set. An export that it leaves is made again."""
        if self._thread is not None:
            self._thread.join(STOP_WITHIN_S)

    def turn(self) -> None:
        """Export what is due."""
        for session in self._due():
            if self._stopping.is_set():
                return
            began_at = time.monotonic()
            if self._not_before.get(session.id, 0.0) > began_at:
                continue
            try:
                made = self._exporter.export(session.name, self._clock())
            except ReceiverBusy:
                continue
            except (OSError, ValueError) as error:
                self._wait(session, began_at)
                text = "session %s: its exports could not be made, they are tried again: %s"
                log.warning(text, session.name, error)
                continue
            self._wait(session, began_at)
            self._note_done(session)
            _log(session.name, made)

    def _wait(self, session: DueSession, began_at: float) -> None:
        """Do not export a session again for a while."""
        present = time.monotonic()
        self._not_before = {key: moment for key, moment in self._not_before.items() if moment > present}
        self._not_before[session.id] = present + max(LEAST_PAUSE_S, PAUSE_IN_EXPORTS * (present - began_at))

    def _run(self) -> None:
        while not self._stopping.wait(TICK_S):
            try:
                self.turn()
            except SQLAlchemyError as error:  # requests that fail of the same cause log it
                log.debug("exports: %s", error)

    def _due(self) -> list[DueSession]:
        own, counts, others = projects.c, registration_counts.c, projects.alias().c
        is_of_awaited = others.session_id == sessions.c.id, others.registrar.in_(self._awaited)
        is_counted = counts.session_id == sessions.c.id, counts.registrar.in_(self._awaited)
        query = (
            select(sessions.c.id, sessions.c.name)
            .join_from(projects, sessions, own.session_id == sessions.c.id)
            .where(own.registrar == EXPORTS, own.closed.is_(False), sessions.c.state == SessionState.ENDED.value)
            .where(~exists().where(*is_of_awaited, others.closed.is_(False)).correlate(sessions))
            .where(~exists().where(*is_counted, counts.pending_count > 0).correlate(sessions))
        )
        with self._database.read() as connection:
            return [
                DueSession(row.id, row.name, connection.scalar(_last_event(row.id)) or 0)
                for row in connection.execute(query).all()
            ]

    def _note_done(self, session: DueSession) -> None:
        """Record that a session is exported, unless something has happened in it meanwhile."""
        with self._database.write() as connection:
            if (connection.scalar(_last_event(session.id)) or 0) == session.event:
                connection.execute(
                    update(projects)
                    .where(projects.c.session_id == session.id, projects.c.registrar == EXPORTS)
                    .values(closed=True)
                )


def _last_event(session_id: int) -> Select[tuple[int]]:
    return select(func.max(events.c.id)).where(events.c.session_id == session_id)


def _log(name: str, made: SessionExports) -> None:
    if not made.exposure_count:
        return
    log.info("session %s: exported, %d exposures, in %s", name, made.exposure_count, made.folder)
    if made.missing:
        log.info("session %s: archives require what nobody gave: %s", name, ", ".join(made.missing))
    if made.differences:
        log.warning("session %s: what is exported differs from its schema: %s", name, "; ".join(made.differences))
