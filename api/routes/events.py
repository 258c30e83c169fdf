"""What happened in a session, in order."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from sqlalchemy import select

from api.access.tokens import Bearer
from api.database.tables import events
from api.http.openapi import problems
from api.receiver import receiver_of
from api.routes.sessions import session_id_of
from transfer.wire import protocol
from transfer.wire.errors import BadName, NotFound, ScopeRejected
from transfer.wire.names import check_session_name
from transfer.wire.protocol import Event, EventList

router = APIRouter(tags=["events"])

PAGE = 1000


@router.get(protocol.SESSION_EVENTS, responses=problems(ScopeRejected, NotFound, BadName))
def list_events(
    session: str,
    request: Request,
    token: Bearer,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="number of the last event that is known")] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> EventList:
    """List events, oldest first."""
    check_session_name(session)
    token.permit(session, write=False)
    with receiver_of(request).database.read() as connection:
        rows = connection.execute(
            select(events)
            .where(events.c.session_id == session_id_of(connection, session), events.c.id > after)
            .order_by(events.c.id)
            .limit(limit)
        ).all()
    return EventList(
        events=tuple(
            Event(number=row.id, at=row.at, kind=row.kind, subject=row.subject, detail=row.detail) for row in rows
        )
    )
