"""The thresholds of sessions: list, set, remove."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from sqlalchemy import Connection

from api.access.guard import Bearer, GuardedRoute, permits
from api.access.permissions import Permission
from api.http.openapi import problems
from api.receiver import receiver_of
from api.routes.session_lines import log_in_session
from api.routes.sessions import SessionName, session_id_of
from api.store.judging import judge_within
from api.store.thresholds import remove_threshold, session_thresholds, set_threshold
from transfer.wire import protocol
from transfer.wire.errors import BadName, LimitReached, NotFound, ScopeRejected, UnknownFigure
from transfer.wire.exposure_record import FigureName
from transfer.wire.verdict import SessionThresholds, Side, StartingThreshold, ThresholdValue

router = APIRouter(tags=["verdicts"], route_class=GuardedRoute)

JUDGE_FOR_S = 20.0
"""After so long the answer comes, and the rest of the exposures is judged in the background."""


def _changed(
    request: Request, session: str, change: Callable[[Connection, int], bool], text: str, *values: object
) -> SessionThresholds:
    """Change a threshold, log that, judge the session's exposures anew, and return the thresholds."""
    database = receiver_of(request).database
    with database.write() as connection:
        session_id = session_id_of(connection, session)
        is_changed = change(connection, session_id)
    if is_changed:
        log_in_session(request, session, text, *values)
        judge_within(database, session_id, JUDGE_FOR_S)
    with database.read() as connection:
        return session_thresholds(connection, session_id)


@router.get(
    protocol.THRESHOLDS,
    dependencies=[permits(Permission.READ)],
    responses=problems(ScopeRejected, NotFound, BadName),
)
def list_thresholds(session: SessionName, request: Request) -> SessionThresholds:
    """List the thresholds of a session."""
    with receiver_of(request).database.read() as connection:
        return session_thresholds(connection, session_id_of(connection, session))


@router.put(
    protocol.THRESHOLD,
    dependencies=[permits(Permission.JUDGE)],
    responses=problems(ScopeRejected, NotFound, BadName, UnknownFigure, LimitReached),
)
def put_threshold(
    session: SessionName, figure: FigureName, side: Side, body: ThresholdValue, request: Request, token: Bearer
) -> SessionThresholds:
    """Set a threshold, and judge the session's exposures anew. The last one to set it wins."""
    wanted = StartingThreshold(figure, side, body.value)

    def change(connection: Connection, session_id: int) -> bool:
        return set_threshold(connection, session_id, wanted, token.id)

    return _changed(request, session, change, f"exposures with %s {side} %g are rejected", figure, body.value)


@router.delete(
    protocol.THRESHOLD,
    dependencies=[permits(Permission.JUDGE)],
    responses=problems(ScopeRejected, NotFound, BadName),
)
def delete_threshold(
    session: SessionName, figure: FigureName, side: Side, request: Request, token: Bearer
) -> SessionThresholds:
    """Remove a threshold, and judge the session's exposures anew; without effect if there is none."""

    def change(connection: Connection, session_id: int) -> bool:
        return remove_threshold(connection, session_id, figure, side, token.id)

    return _changed(request, session, change, f"no exposures are rejected for %s {side} a threshold", figure)
