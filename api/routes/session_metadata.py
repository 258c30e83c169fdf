"""What people say of a session for archives: show, replace."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request

from api.access.guard import GuardedRoute, permits
from api.access.permissions import Permission
from api.exports.session_metadata import give_metadata, given_metadata
from api.http.openapi import problems
from api.receiver import receiver_of
from api.registrars import SessionPlace
from api.routes.session_lines import log_in_session
from api.routes.sessions import SessionName, session_id_of
from transfer.wire import protocol
from transfer.wire.errors import BadMetadata, BadName, NotFound, ScopeRejected
from transfer.wire.session_metadata import SessionMetadata, checked_metadata

router = APIRouter(tags=["sessions"], route_class=GuardedRoute)


def _place(request: Request, session: str) -> SessionPlace:
    """Return the place of a session that exists."""
    receiver = receiver_of(request)
    with receiver.database.read() as connection:
        session_id_of(connection, session)
    return receiver.exporter.place(session)


@router.put(
    protocol.METADATA,
    dependencies=[permits(Permission.WRITE)],
    responses=problems(ScopeRejected, NotFound, BadName, BadMetadata),
)
def put_metadata(session: SessionName, body: Annotated[dict[str, Any], Body()], request: Request) -> SessionMetadata:
    """Keep what people say of a session, in place of what they said before; a `SessionMetadata`."""
    given = checked_metadata(body)
    give_metadata(_place(request, session), given)
    log_in_session(request, session, "its metadata are given")
    return given


@router.get(
    protocol.METADATA,
    dependencies=[permits(Permission.READ)],
    responses=problems(ScopeRejected, NotFound, BadName),
)
def get_metadata(session: SessionName, request: Request) -> SessionMetadata:
    """Show what people have said of a session."""
    return given_metadata(_place(request, session))
