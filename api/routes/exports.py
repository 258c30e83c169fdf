"""The exports of a session: made when they are asked for."""

from __future__ import annotations

from fastapi import APIRouter, Request

from api.access.guard import GuardedRoute, permits
from api.access.permissions import Permission
from api.database.tables import now
from api.http.openapi import problems
from api.receiver import receiver_of
from api.routes.session_lines import log_in_session
from api.routes.sessions import SessionName, session_id_of
from transfer.wire import protocol
from transfer.wire.errors import BadName, NotFound, ScopeRejected
from transfer.wire.session_exports import SessionExports

router = APIRouter(tags=["sessions"], route_class=GuardedRoute)


@router.post(
    protocol.EXPORTS, dependencies=[permits(Permission.WRITE)], responses=problems(ScopeRejected, NotFound, BadName)
)
def export_session(session: SessionName, request: Request) -> SessionExports:
    """Make or replace the session's files for cryoSPARC, from what is registered now."""
    receiver = receiver_of(request)
    with receiver.database.read() as connection:
        session_id_of(connection, session)
    exports = receiver.exporter.export(session, now())
    log_in_session(request, session, "exported, %d exposures", exports.exposure_count)
    return exports
