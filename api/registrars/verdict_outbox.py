"""The outbox for verdicts: which ones a registrar has yet to take over.

The transaction that changes a verdict adds it (`api.store.judging`). A registrar is told the present verdict of each
exposure, in the order of the last changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, select

from api.database.engine import Database
from api.database.tables import exposures, sessions, untold_verdicts, verdicts
from api.registrars import ChangedVerdict, PresentVerdict, SessionPlace
from transfer.wire.verdict import VerdictBy

MOST_AT_ONCE = 5000
"""Verdicts of one session that a registrar is told at once."""

VERDICT_COLUMNS = (verdicts.c.is_accepted, verdicts.c.by, verdicts.c.at)


def present_verdict(row: Any) -> PresentVerdict:
    """Return the verdict in a row with `VERDICT_COLUMNS`, which are NULL where there is none."""
    return PresentVerdict() if row.by is None else PresentVerdict(row.is_accepted, VerdictBy(row.by), row.at)


def are_untold(registrar: str) -> ColumnElement[bool]:
    """Return the condition that a row of `sessions` has verdicts that a registrar has yet to take over."""
    own = untold_verdicts.c
    return exists().where(own.registrar == registrar, own.session_id == sessions.c.id).correlate(sessions)


@dataclass(frozen=True, slots=True)
class UntoldVerdicts:
    """Changed verdicts of one session, oldest change first; `last` is the number of the last one."""

    session_id: int
    place: SessionPlace
    verdicts: tuple[ChangedVerdict, ...]
    last: int


class VerdictOutbox:
    """One registrar's part of the outbox for verdicts; the parameters are those of `Outbox`."""

    def __init__(self, database: Database, data: Path, registrar: str) -> None:
        self._database = database
        self._data = data
        self._registrar = registrar

    def batches(self) -> list[UntoldVerdicts]:
        """Return verdicts to take over, at most one batch a session."""
        own = untold_verdicts.c
        waiting = select(own.session_id).where(own.registrar == self._registrar).distinct()
        with self._database.read() as connection:
            return [self._batch(connection, session_id) for session_id in connection.scalars(waiting).all()]

    def _batch(self, connection: Connection, session_id: int) -> UntoldVerdicts:
        own = untold_verdicts.c
        rows = connection.execute(
            select(own.number, exposures.c.micrograph_name, exposures.c.revision, *VERDICT_COLUMNS)
            .join_from(untold_verdicts, exposures, exposures.c.id == own.exposure)
            .join(verdicts, verdicts.c.exposure == own.exposure)
            .where(own.registrar == self._registrar, own.session_id == session_id)
            .order_by(own.number)
            .limit(MOST_AT_ONCE)
        ).all()
        name: str = connection.execute(select(sessions.c.name).where(sessions.c.id == session_id)).scalar_one()
        return UntoldVerdicts(
            session_id,
            SessionPlace(name, self._data / "sessions" / name),
            tuple(ChangedVerdict(row.micrograph_name, row.revision, present_verdict(row)) for row in rows),
            rows[-1].number,
        )

    def note_told(self, batch: UntoldVerdicts) -> None:
        """Record that the registrar has taken over a batch; what has changed meanwhile has a higher number."""
        own = untold_verdicts.c
        with self._database.write() as connection:
            connection.execute(
                delete(untold_verdicts).where(
                    own.registrar == self._registrar, own.session_id == batch.session_id, own.number <= batch.last
                )
            )
