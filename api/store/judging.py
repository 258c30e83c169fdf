"""Judges exposures by the thresholds of their session; what a person says about an exposure holds instead.

A published record is judged in its own transaction. When a threshold changes, all exposures of the session are judged
anew, so many in a transaction that others can write in between. How far that is stands in the database
(`due_judgements`), so that any process can go on with it after another one was killed.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, case, delete, exists, false, insert, or_, select, update

from api.database.engine import Database
from api.database.registrations import open_projects
from api.database.tables import (
    due_judgements,
    events,
    exposure_figures,
    exposures,
    now,
    registrations,
    sessions,
    thresholds,
    untold_verdicts,
    verdicts,
)
from transfer.wire.verdict import Exceeded, Side, VerdictBy

JUDGED_AT_ONCE = 1000
"""Exposures in one transaction."""
LONGEST_PAUSE_S = 0.05
"""Between two transactions, so that other writers, which may wait in other processes, have their turns."""

_IS_BEYOND = and_(
    thresholds.c.session_id == exposure_figures.c.session_id,
    thresholds.c.figure == exposure_figures.c.name,
    or_(
        and_(thresholds.c.side == Side.ABOVE.value, exposure_figures.c.value > thresholds.c.value),
        and_(thresholds.c.side == Side.BELOW.value, exposure_figures.c.value < thresholds.c.value),
    ),
)
_IS_REJECTED = case((verdicts.c.is_accepted.is_(False), 1), else_=0)


@dataclass(frozen=True, slots=True)
class NewVerdict:
    """A verdict that is to be kept instead of the one before; `detail` is for the event."""

    exposure: int
    exposure_id: UUID
    was_accepted: bool
    accepted: bool
    by: VerdictBy
    detail: str
    token_id: str | None = None
    comment: str = ""


def exceeded_by(connection: Connection, keys: Collection[int]) -> dict[int, list[Exceeded]]:
    """Return the figures beyond thresholds of exposures, by `exposures.id`; those without any are left out."""
    found: dict[int, list[Exceeded]] = {}
    wanted = (
        select(
            exposure_figures.c.exposure,
            exposure_figures.c.name,
            exposure_figures.c.value,
            thresholds.c.side,
            thresholds.c.value.label("threshold"),
        )
        .join_from(exposure_figures, thresholds, _IS_BEYOND)
        .where(exposure_figures.c.exposure.in_(keys))
    )
    for row in sorted(connection.execute(wanted), key=lambda row: (row.name, row.side)):
        one = Exceeded(figure=row.name, value=row.value, side=Side(row.side), threshold=row.threshold)
        found.setdefault(row.exposure, []).append(one)
    return found


def by_thresholds(exceeded: Sequence[Exceeded]) -> str:
    """Return in words how thresholds decide about an exposure, for its event."""
    beyond = ", ".join(f"{one.figure} {one.value:g} is {one.side} {one.threshold:g}" for one in exceeded)
    return f"by thresholds: {beyond or 'no figure is beyond one'}"


def judge(connection: Connection, session_id: int, keys: range) -> int:
    """Bring verdicts up to date with the session's thresholds; return how many have changed.

    Parameters
    ----------
    keys
        `exposures.id` of the session's exposures to judge.
    """
    rows = connection.execute(
        select(exposures.c.id, exposures.c.exposure_id, _IS_REJECTED.label("is_rejected"))
        .join_from(exposures, verdicts, verdicts.c.exposure == exposures.c.id, isouter=True)
        .where(exposures.c.session_id == session_id, exposures.c.id >= keys.start, exposures.c.id < keys.stop)
        .where(or_(verdicts.c.by.is_(None), verdicts.c.by == VerdictBy.THRESHOLD.value))
        .where(case((_exceeds(connection, session_id), 1), else_=0) != _IS_REJECTED)
        .order_by(exposures.c.id)
    ).all()
    exceeded = exceeded_by(connection, [row.id for row in rows if not row.is_rejected])
    record(
        connection,
        session_id,
        [
            NewVerdict(
                exposure=row.id,
                exposure_id=row.exposure_id,
                was_accepted=not row.is_rejected,
                accepted=bool(row.is_rejected),
                by=VerdictBy.THRESHOLD,
                detail=by_thresholds(exceeded.get(row.id, ())),
            )
            for row in rows
        ],
    )
    return len(rows)


def _exceeds(connection: Connection, session_id: int) -> ColumnElement[bool]:
    """Return the condition that a row of `exposures` has a figure beyond a threshold of the session.

    The thresholds stand in the statement, so that each is one look into the figures by their key.
    """
    own = exposure_figures.c
    conditions: list[ColumnElement[bool]] = [false()]
    for row in connection.execute(select(thresholds).where(thresholds.c.session_id == session_id)):
        beyond = own.value > row.value if row.side == Side.ABOVE.value else own.value < row.value
        conditions.append(exists().where(own.exposure == exposures.c.id, own.name == row.figure, beyond))
    return or_(*conditions)


def record(connection: Connection, session_id: int, changes: Sequence[NewVerdict]) -> None:
    """Keep verdicts, each with its event, and have the registrars told that were given the exposures."""
    if not changes:
        return
    keys, moment = [change.exposure for change in changes], now()
    numbers = connection.scalars(
        insert(events).returning(events.c.id, sort_by_parameter_order=True),
        [
            {
                "session_id": session_id,
                "at": moment,
                "kind": "exposure-accepted" if change.accepted else "exposure-rejected",
                "subject": str(change.exposure_id),
                "detail": change.detail,
            }
            for change in changes
        ],
    ).all()
    for table in (untold_verdicts, verdicts):
        connection.execute(delete(table).where(table.c.exposure.in_(keys)))
    connection.execute(
        insert(verdicts),
        [
            {
                "exposure": change.exposure,
                "is_accepted": change.accepted,
                "by": change.by.value,
                "number": number,
                "at": moment,
                "token_id": change.token_id,
                "comment": change.comment,
            }
            for change, number in zip(changes, numbers, strict=True)
        ],
    )
    _put_out(connection, session_id, keys)
    _count_rejected(connection, session_id, sum(change.was_accepted - change.accepted for change in changes))


def _count_rejected(connection: Connection, session_id: int, change: int) -> None:
    connection.execute(
        update(sessions).where(sessions.c.id == session_id).values(rejected_count=sessions.c.rejected_count + change)
    )


def _put_out(connection: Connection, session_id: int, keys: Collection[int]) -> None:
    """Put verdicts out for the registrars that have the exposures, or will have them."""
    to_tell = (
        select(registrations.c.registrar, registrations.c.exposure, exposures.c.session_id, verdicts.c.number)
        .join_from(registrations, verdicts, verdicts.c.exposure == registrations.c.exposure)
        .join(exposures, exposures.c.id == registrations.c.exposure)
        .where(registrations.c.exposure.in_(keys))
        .distinct()
    )
    columns = ["registrar", "exposure", "session_id", "number"]
    connection.execute(insert(untold_verdicts).from_select(columns, to_tell))
    open_projects(connection, session_id)


def remove_verdict(connection: Connection, session_id: int, exposure: int) -> None:
    """Remove the verdict about an exposure that is deleted."""
    own = verdicts.c.exposure == exposure
    is_rejected = connection.scalar(select(verdicts.c.exposure).where(own, verdicts.c.is_accepted.is_(False)))
    if is_rejected is not None:
        _count_rejected(connection, session_id, -1)
    for table in (untold_verdicts, verdicts):
        connection.execute(delete(table).where(table.c.exposure == exposure))


def judge_all_anew(connection: Connection, session_id: int) -> None:
    """Note that the session's exposures must be judged anew: `judge_next` does it, after this transaction."""
    connection.execute(delete(due_judgements).where(due_judgements.c.session_id == session_id))
    connection.execute(insert(due_judgements).values(session_id=session_id, after=0))


def due_sessions(database: Database) -> dict[int, int]:
    """Return the sessions with exposures that are yet to be judged, each with how far that is."""
    with database.read() as connection:
        rows = connection.execute(select(due_judgements.c.session_id, due_judgements.c.after)).all()
    return {row.session_id: row.after for row in rows}


def judge_next(database: Database, session_id: int) -> bool:
    """Judge the next exposures that are due in a session, in one transaction; return whether more are due."""
    with database.write() as connection:
        own = due_judgements.c.session_id == session_id
        after: int | None = connection.scalar(select(due_judgements.c.after).where(own))
        if after is None:
            return False
        following = select(exposures.c.id).where(exposures.c.session_id == session_id, exposures.c.id > after)
        keys = connection.scalars(following.order_by(exposures.c.id).limit(JUDGED_AT_ONCE)).all()
        if keys:
            judge(connection, session_id, range(keys[0], keys[-1] + 1))
        if len(keys) < JUDGED_AT_ONCE:
            connection.execute(delete(due_judgements).where(own))
            return False
        connection.execute(update(due_judgements).where(own).values(after=keys[-1]))
        return True


def judge_within(database: Database, session_id: int, seconds: float) -> bool:
    """Judge the exposures that are due in a session; return whether all are judged within so many seconds."""
    begun_s = batch_s = time.monotonic()
    while judge_next(database, session_id):
        now_s = time.monotonic()
        if now_s > begun_s + seconds:
            return False
        time.sleep(min(now_s - batch_s, LONGEST_PAUSE_S))
        batch_s = time.monotonic()
    return True
