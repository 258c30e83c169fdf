"""Verifications: have the receiver read committed files again, and ask for what it has found."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request

from api.access.guard import Bearer, GuardedRoute, permits
from api.access.permissions import Permission
from api.http.control_bodies import MAX_BYTES
from api.http.openapi import problems
from api.receiver import receiver_of
from api.routes.sessions import SessionName, session_id_of
from transfer.wire import protocol
from transfer.wire.errors import BadName, LimitReached, NotFound, ScopeRejected, TooLarge
from transfer.wire.names import check_committed_path
from transfer.wire.verification import Verification, VerificationRequest

router = APIRouter(tags=["verifications"], route_class=GuardedRoute)


@router.post(
    protocol.VERIFICATIONS,
    dependencies=[permits(Permission.READ, max_body_bytes=MAX_BYTES)],
    status_code=202,
    responses=problems(ScopeRejected, NotFound, BadName, LimitReached, TooLarge),
)
def start_verification(
    session: SessionName, wanted: VerificationRequest, request: Request, token: Bearer
) -> Verification:
    """Have committed files read from the disk and compared with their digests. Ask for the result until it is done."""
    for path in wanted.paths:
        check_committed_path(path)
    receiver = receiver_of(request)
    with receiver.database.read() as connection:
        session_id = session_id_of(connection, session)
    return receiver.verifier.start(session, session_id, token.id, wanted.paths)


@router.get(
    protocol.VERIFICATION,
    dependencies=[permits(Permission.READ)],
    responses=problems(ScopeRejected, NotFound, BadName),
)
def get_verification(session: SessionName, verification_id: UUID, request: Request) -> Verification:
    """Show how far a verification is, and what it has found."""
    return receiver_of(request).verifier.get(session, verification_id)
