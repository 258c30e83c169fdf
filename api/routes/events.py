"""The events of a session, in order."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from sqlalchemy import select

from api.access.guard import GuardedRoute, permits
from api.access.permissions import Permission
from api.database.tables import events
from api.http.openapi import problems
from api.receiver import receiver_of
from api.routes.sessions import SessionName, session_id_of
from transfer.wire import protocol
from transfer.wire.errors import BadName, NotFound, ScopeRejected
from transfer.wire.protocol import Event, EventList

router = APIRouter(tags=["events"], route_class=GuardedRoute)

PAGE = 1000
PAGE_BYTES = 1_000_000
"""A page ends when its events have so many bytes of text; it has one event at least."""


@router.get(
    protocol.SESSION_EVENTS,
    dependencies=[permits(Permission.READ)],
    responses=problems(ScopeRejected, NotFound, BadName),
)
def list_events(
    session: SessionName,
    request: Request,
    after: Annotated[
        int, Query(ge=0, le=2**63 - 1, description="The number of the last event that the client knows.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
) -> EventList:
    """List events, oldest first."""
    with receiver_of(request).database.read() as connection:
        rows = connection.execute(
            select(events)
            .where(events.c.session_id == session_id_of(connection, session), events.c.id > after)
            .order_by(events.c.id)
            .limit(limit + 1)
        ).all()
    page: list[Event] = []
    size_bytes = 0
    for row in rows[:limit]:
        size_bytes += len(row.subject) + len(row.detail)
        if page and size_bytes > PAGE_BYTES:
            break
        page.append(Event(number=row.id, at=row.at, kind=row.kind, subject=row.subject, detail=row.detail))
    return EventList(events=tuple(page), next=page[-1].number if len(page) < len(rows) else None)
