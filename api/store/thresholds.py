"""The thresholds of sessions."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select

from api.database.tables import add_event, due_judgements, exposure_figures, now, sessions, thresholds
from api.store.judging import judge_all_anew
from transfer.wire.errors import LimitReached
from transfer.wire.figures import FIGURES, require_figure
from transfer.wire.verdict import SessionThresholds, Side, StartingThreshold, Threshold

MOST_THRESHOLDS = 64
"""Of one session."""


def start_with(connection: Connection, session_id: int, starting: Iterable[StartingThreshold]) -> None:
    """Give a new session the thresholds of the receiver's settings."""
    for one in starting:
        _put(connection, session_id, one, token_id=None)


def session_thresholds(connection: Connection, session_id: int) -> SessionThresholds:
    """Return a session's thresholds, and how many exposures they reject."""
    counts = connection.execute(
        select(sessions.c.exposure_count, sessions.c.rejected_count).where(sessions.c.id == session_id)
    ).one()
    wanted = select(thresholds).where(thresholds.c.session_id == session_id)
    due = connection.scalar(select(due_judgements.c.session_id).where(due_judgements.c.session_id == session_id))
    return SessionThresholds(
        thresholds=tuple(
            Threshold(figure=row.figure, side=Side(row.side), value=row.value, token_id=row.token_id, set_at=row.set_at)
            for row in connection.execute(wanted.order_by(thresholds.c.figure, thresholds.c.side))
        ),
        exposure_count=counts.exposure_count,
        rejected_count=counts.rejected_count,
        judged=due is None,
    )


def set_threshold(connection: Connection, session_id: int, wanted: StartingThreshold, token_id: str) -> bool:
    """Set a threshold; return whether it has changed, so that the exposures are to be judged anew.

    Raises
    ------
    UnknownFigure
        No figure of that name is registered, and no exposure of the session has it.
    LimitReached
    """
    known = _value(connection, session_id, wanted.figure, wanted.side)
    if known == wanted.value:
        return False
    if known is None:
        _require_figure(connection, session_id, wanted.figure)
        _require_room(connection, session_id)
    _put(connection, session_id, wanted, token_id)
    judge_all_anew(connection, session_id)
    return True


def remove_threshold(connection: Connection, session_id: int, figure: str, side: Side, token_id: str) -> bool:
    """Remove a threshold; return whether there was one, so that the exposures are to be judged anew."""
    known = _value(connection, session_id, figure, side)
    if known is None:
        return False
    connection.execute(delete(thresholds).where(_is(session_id, figure, side)))
    add_event(connection, session_id, "threshold-removed", figure, f"{side} {known:g}, by token {token_id}")
    judge_all_anew(connection, session_id)
    return True


def _is(session_id: int, figure: str, side: Side) -> ColumnElement[bool]:
    own = thresholds.c
    return and_(own.session_id == session_id, own.figure == figure, own.side == side.value)


def _value(connection: Connection, session_id: int, figure: str, side: Side) -> float | None:
    value: float | None = connection.scalar(select(thresholds.c.value).where(_is(session_id, figure, side)))
    return value


def _put(connection: Connection, session_id: int, wanted: StartingThreshold, token_id: str | None) -> None:
    before = _value(connection, session_id, wanted.figure, wanted.side)
    connection.execute(delete(thresholds).where(_is(session_id, wanted.figure, wanted.side)))
    connection.execute(
        insert(thresholds).values(
            session_id=session_id,
            figure=wanted.figure,
            side=wanted.side.value,
            value=wanted.value,
            token_id=token_id,
            set_at=now(),
        )
    )
    who = f"by token {token_id}" if token_id else "by the receiver's settings"
    instead = "" if before is None else f" instead of {before:g}"
    add_event(connection, session_id, "threshold-set", wanted.figure, f"{wanted.side} {wanted.value:g}{instead}, {who}")


def _require_figure(connection: Connection, session_id: int, name: str) -> None:
    own = exposure_figures.c
    of_session = select(own.exposure).where(own.session_id == session_id, own.name == name).limit(1)
    if name not in FIGURES and connection.scalar(of_session) is None:  # a newer agent sends figures unknown here
        require_figure(name)


def _require_room(connection: Connection, session_id: int) -> None:
    count = connection.scalar(select(func.count()).where(thresholds.c.session_id == session_id)) or 0
    if count >= MOST_THRESHOLDS:
        raise LimitReached(
            f"the session has {count} thresholds, it may have {MOST_THRESHOLDS}; this one is not set",
            hint="Remove thresholds that are not needed.",
        )
