"""Claims: an agent asks which exposures its movies are before it aligns and sends them."""

from __future__ import annotations

from fastapi import APIRouter, Request

from api.access.guard import GuardedRoute, permits
from api.access.permissions import Permission
from api.http.control_bodies import MAX_BYTES
from api.http.openapi import problems
from api.receiver import receiver_of
from api.routes.sessions import SessionName, session_id_of
from api.store.claims import ClaimBook
from transfer.wire import protocol
from transfer.wire.errors import BadName, NotFound, ScopeRejected, TooLarge
from transfer.wire.exposure_claim import ClaimAnswers, ClaimBatch
from transfer.wire.names import check_committed_path

router = APIRouter(tags=["exposures"], route_class=GuardedRoute)


@router.post(
    protocol.CLAIMS,
    dependencies=[permits(Permission.WRITE, max_body_bytes=MAX_BYTES)],
    responses=problems(ScopeRejected, NotFound, BadName, TooLarge),
)
def claim_exposures(session: SessionName, batch: ClaimBatch, request: Request) -> ClaimAnswers:
    """Claim movies: the answers say, in the order of the claims, which exposures they are and what to do."""
    for claim in batch.claims:
        check_committed_path(f"{claim.stem}.mrc")  # older agents ask for such names, also for what is committed
    receiver = receiver_of(request)
    with receiver.database.read() as connection:
        session_id = session_id_of(connection, session)
    claims = ClaimBook(receiver.database, receiver.storage, receiver.clock)
    return ClaimAnswers(answers=claims.answer(session_id, batch))
