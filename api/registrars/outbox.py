"""The outbox: which exposures a registrar has yet to register, and the results.

The transaction that publishes an exposure adds them (`api.database.registrations`); this module records the results.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, insert, literal, or_, select, update

from api.database.engine import Database
from api.database.registrations import counted_registrations
from api.database.tables import (
    SUPERSEDED,
    add_event,
    exposure_records,
    exposures,
    files,
    projects,
    registration_counts,
    registrations,
    sessions,
    verdicts,
)
from api.registrars import PublishedExposure, RegistrationOutcome, SessionPlace
from api.registrars.verdict_outbox import VERDICT_COLUMNS, are_untold, present_verdict
from transfer.wire.exposure_record import ExposureRecord, FileRole
from transfer.wire.protocol import RegistrationState, SessionState

MAX_DETAIL = 2000
"""Characters of a registrar's reason that are kept: lists of exposures and events show it."""
_KNOWN_ROLES = frozenset(FileRole)


@dataclass(frozen=True, slots=True)
class PendingBatch:
    """Exposures of one session, in the order of their publication."""

    session_id: int
    place: SessionPlace
    exposures: tuple[PublishedExposure, ...]
    attempts: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class OpenProject:
    """A session whose project is not closed; `ended`: no more exposures will come."""

    session_id: int
    place: SessionPlace
    ended: bool


class Outbox:
    """One registrar's part of the outbox.

    Parameters
    ----------
    database
        The receiver's database.
    data
        The receiver's data folder. The locations of files are relative to it.
    registrar
        The registrar's name.
    """

    def __init__(self, database: Database, data: Path, registrar: str) -> None:
        self._database = database
        self._data = data
        self._registrar = registrar
        self._read: dict[int, PublishedExposure] = {}  # of the last batches: what waits is not read again

    def batches(
        self, limit: int, without: Collection[int], without_sessions: Collection[str] = ()
    ) -> list[PendingBatch]:
        """Return up to `limit` exposures to register, oldest first, by session.

        Parameters
        ----------
        limit
            How many at most.
        without
            Rows that failed and must wait.
        without_sessions
            Sessions that must wait: many exposures of theirs hold up no other session's.
        """
        found: dict[int, list[PublishedExposure]] = {}
        attempts: dict[int, dict[int, int]] = {}
        places: dict[int, SessionPlace] = {}
        known, self._read = self._read, {}
        with self._database.read() as connection:
            numbers = self._next_numbers(connection, limit, without, without_sessions)
            for row in self._rows(connection, numbers):
                exposure = known.get(row.id)
                if exposure is None or not _is_of(row, exposure):
                    exposure = self._exposure(connection, row)
                self._read[row.id] = exposure = replace(exposure, verdict=present_verdict(row))
                found.setdefault(row.session_id, []).append(exposure)
                attempts.setdefault(row.session_id, {})[row.id] = row.attempts
                places[row.session_id] = self._place(row.name)
        return [
            PendingBatch(session_id, places[session_id], tuple(group), attempts[session_id])
            for session_id, group in found.items()
        ]

    def _next_numbers(
        self, connection: Connection, limit: int, without: Collection[int], without_sessions: Collection[str]
    ) -> list[int]:
        """Return the rows to register next, oldest first; `without` holds failed ones."""
        wait = frozenset(without)
        waits = (
            exists()
            .where(exposures.c.id == registrations.c.exposure, exposures.c.session_id == sessions.c.id)
            .where(sessions.c.name.in_(without_sessions))
        )
        numbers: list[int] = []
        for state, waiting in ((RegistrationState.PENDING, 0), (RegistrationState.FAILED, len(wait))):
            oldest = (
                select(registrations.c.id)
                .where(registrations.c.registrar == self._registrar, registrations.c.state == _literal(state))
                .order_by(registrations.c.id)
                .limit(limit + waiting)
            )
            if without_sessions:
                oldest = oldest.where(~waits)
            numbers += [number for number in connection.scalars(oldest) if number not in wait][:limit]
        return sorted(numbers)[:limit]

    @staticmethod
    def _rows(connection: Connection, numbers: Collection[int]) -> Sequence[Any]:
        return connection.execute(
            select(
                registrations.c.id,
                registrations.c.revision,
                registrations.c.exposure,
                registrations.c.attempts,
                exposures.c.exposure_id,
                exposures.c.micrograph_name,
                sessions.c.id.label("session_id"),
                sessions.c.name,
                *VERDICT_COLUMNS,
            )
            .join_from(registrations, exposures, registrations.c.exposure == exposures.c.id)
            .join(sessions, sessions.c.id == exposures.c.session_id)
            .join(verdicts, verdicts.c.exposure == exposures.c.id, isouter=True)
            .where(registrations.c.id.in_(numbers))
            .order_by(registrations.c.id)
        ).all()

    def _exposure(self, connection: Connection, row: Any) -> PublishedExposure:
        kept = connection.execute(
            select(exposure_records.c.record).where(
                exposure_records.c.exposure == row.exposure, exposure_records.c.revision == row.revision
            )
        ).scalar_one()
        record = ExposureRecord.model_validate_json(kept)
        return PublishedExposure(
            number=row.id,
            micrograph_name=row.micrograph_name,
            record=record,
            files=located_files(connection, self._data, row.session_id, record),
        )

    def settle(self, batch: PendingBatch, outcomes: Mapping[int, RegistrationOutcome]) -> None:
        """Record the results of a batch."""
        by_number = {exposure.number: exposure for exposure in batch.exposures}
        settled = {n: outcome for n, outcome in outcomes.items() if outcome.state is not RegistrationState.PENDING}
        if not settled:
            return
        with self._database.write() as connection:
            rows = [row for row in self._settling(connection, settled) if _is_of(row, by_number[row.id])]
            with counted_registrations(connection, batch.session_id, {row.exposure for row in rows}):
                for row in rows:
                    self._settle(connection, row, settled[row.id])
            for row in rows:
                outcome = settled[row.id]
                add_event(
                    connection,
                    batch.session_id,
                    "exposure-registered" if outcome.state == RegistrationState.REGISTERED else "registration-failed",
                    str(row.exposure_id),
                    f"{self._registrar}: {outcome.detail[:MAX_DETAIL]}" if outcome.detail else self._registrar,
                )

    @staticmethod
    def _settling(connection: Connection, numbers: Collection[int]) -> Sequence[Any]:
        own = registrations.c
        wanted = select(own.id, own.exposure, own.revision, own.state, exposures.c.exposure_id)
        return connection.execute(wanted.join_from(registrations, exposures).where(own.id.in_(numbers))).all()

    @staticmethod
    def _settle(connection: Connection, row: Any, outcome: RegistrationOutcome) -> None:
        """Record one result. A revision that was replaced meanwhile and is not registered stays replaced."""
        values = {"state": outcome.state.value, "detail": outcome.detail[:MAX_DETAIL]}
        if row.state == SUPERSEDED and outcome.state is not RegistrationState.REGISTERED:
            values = {}
        connection.execute(
            update(registrations)
            .where(registrations.c.id == row.id)
            .values(attempts=registrations.c.attempts + 1, **values)
        )

    def explain(self, batch: PendingBatch, reason: str) -> None:
        """Record why a batch is still pending."""
        reason = reason[:MAX_DETAIL]
        with self._database.write() as connection:
            connection.execute(
                update(registrations)
                .where(registrations.c.id.in_([exposure.number for exposure in batch.exposures]))
                .where(registrations.c.detail != reason)
                .values(detail=reason)
            )

    def note_project(self, session_id: int, location: Path) -> None:
        """Record the folder of a session's project, before anything is written there."""
        here = and_(projects.c.session_id == session_id, projects.c.registrar == self._registrar)
        with self._database.read() as connection:
            known = connection.execute(select(projects.c.location).where(here)).scalar_one_or_none()
        if known == str(location):
            return
        with self._database.write() as connection:
            if known is None:
                connection.execute(
                    insert(projects).values(
                        session_id=session_id, registrar=self._registrar, location=str(location), closed=False
                    )
                )
            else:
                connection.execute(update(projects).where(here).values(location=str(location)))

    def open_projects(self) -> list[OpenProject]:
        """Return the sessions that have a project of this registrar which is not closed."""
        query = (
            select(sessions.c.id, sessions.c.name, sessions.c.state, self._something_pending().label("pending"))
            .join_from(projects, sessions, projects.c.session_id == sessions.c.id)
            .where(projects.c.registrar == self._registrar, projects.c.closed.is_(False))
        )
        with self._database.read() as connection:
            return [
                OpenProject(row.id, self._place(row.name), row.state == SessionState.ENDED and not row.pending)
                for row in connection.execute(query)
            ]

    def note_closed(self, session_id: int) -> None:
        """Record that a session's project is complete, unless an exposure was published meanwhile."""
        over = exists().where(sessions.c.id == projects.c.session_id, sessions.c.state == SessionState.ENDED)
        with self._database.write() as connection:
            connection.execute(
                update(projects)
                .where(projects.c.session_id == session_id, projects.c.registrar == self._registrar)
                .where(over.where(~self._something_pending()))
                .values(closed=True)
            )

    def _something_pending(self) -> ColumnElement[bool]:
        """Return the condition that a row of `sessions` has exposures or verdicts that wait for this registrar."""
        counts = registration_counts.c
        has_exposures = counts.session_id == sessions.c.id, counts.registrar == self._registrar
        return or_(
            exists().where(*has_exposures, counts.pending_count > 0).correlate(sessions),
            are_untold(self._registrar),
        )

    def _place(self, session: str) -> SessionPlace:
        return SessionPlace(session, self._data / "sessions" / session)


def located_files(connection: Connection, data: Path, session_id: int, record: ExposureRecord) -> dict[FileRole, Path]:
    """Return the paths of the committed files of a record that have a known role.

    Parameters
    ----------
    data
        The receiver's data folder.
    """
    query = select(files.c.path, files.c.revision, files.c.location).where(
        files.c.session_id == session_id, files.c.path.in_([file.path for file in record.files])
    )
    located = {(row.path, row.revision): data / row.location for row in connection.execute(query)}
    return {
        FileRole(file.role): located[file.path, file.revision]
        for file in record.files
        if file.role in _KNOWN_ROLES and (file.path, file.revision) in located
    }


def _is_of(row: Any, exposure: PublishedExposure) -> bool:
    """Return whether a row is still of that exposure: SQLite gives the number of a deleted row to the next one."""
    return bool((row.exposure_id, row.revision) == (exposure.record.exposure_id, exposure.record.revision))


def _literal(state: RegistrationState) -> ColumnElement[str]:
    """Return a state as part of the statement's text: SQLite uses a partial index for constants only."""
    return literal(state.value, literal_execute=True)
