"""What people say about exposures: accepted, rejected, or left to the thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from fastapi import APIRouter, Request

from api.access.guard import Bearer, GuardedRoute, permits
from api.access.permissions import Permission
from api.http.openapi import problems
from api.receiver import receiver_of
from api.routes.sessions import SessionName, session_id_of
from api.store.verdicts import say
from transfer.wire import protocol
from transfer.wire.errors import BadName, NotFound, ScopeRejected
from transfer.wire.verdict import (
    ExposureVerdict,
    PersonVerdict,
    Verdict,
    VerdictAnswers,
    VerdictBatch,
    VerdictOfBatch,
)

router = APIRouter(tags=["verdicts"], route_class=GuardedRoute)

MAX_BATCH_BYTES = 1 << 20


def _said(request: Request, session: str, said: Sequence[VerdictOfBatch], token_id: str) -> list[ExposureVerdict]:
    with receiver_of(request).database.write() as connection:
        return say(connection, session_id_of(connection, session), said, token_id)


@router.put(
    protocol.VERDICT,
    dependencies=[permits(Permission.JUDGE)],
    response_model=Verdict,
    responses=problems(ScopeRejected, NotFound, BadName),
)
def put_verdict(
    session: SessionName, exposure_id: UUID, body: PersonVerdict, request: Request, token: Bearer
) -> Verdict:
    """Say that an exposure is accepted or rejected, whatever the thresholds say, until it is withdrawn."""
    one = VerdictOfBatch(exposure_id=exposure_id, accepted=body.accepted, comment=body.comment)
    return _said(request, session, [one], token.id)[0]


@router.delete(
    protocol.VERDICT,
    dependencies=[permits(Permission.JUDGE)],
    response_model=Verdict,
    responses=problems(ScopeRejected, NotFound, BadName),
)
def withdraw_verdict(session: SessionName, exposure_id: UUID, request: Request, token: Bearer) -> Verdict:
    """Withdraw what a person said about an exposure: the thresholds decide again."""
    return _said(request, session, [VerdictOfBatch(exposure_id=exposure_id, accepted=None)], token.id)[0]


@router.post(
    protocol.VERDICTS,
    dependencies=[permits(Permission.JUDGE, max_body_bytes=MAX_BATCH_BYTES)],
    responses=problems(ScopeRejected, NotFound, BadName),
)
def put_verdicts(session: SessionName, body: VerdictBatch, request: Request, token: Bearer) -> VerdictAnswers:
    """Say several verdicts at once, or withdraw them; all of them, or none if an exposure is not there."""
    return VerdictAnswers(verdicts=tuple(_said(request, session, body.verdicts, token.id)))
