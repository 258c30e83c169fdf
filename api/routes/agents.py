"""Agents: what each reports of itself, and what people ask of it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from api.access.guard import GuardedRoute, permits
from api.access.permissions import Permission
from api.database.tables import agent_requests, agents, now
from api.http.openapi import problems
from api.receiver import Receiver, receiver_of
from api.routes.session_lines import log_in_session
from api.routes.sessions import SessionName, session_id_of
from api.store.account_facts import CLAIMED_THEN, accounts_of, claimed_count
from api.store.leases import lease_of
from api.store.receiver_state import state_of
from transfer.wire import protocol
from transfer.wire.accounting import SessionAccount
from transfer.wire.agent_status import (
    MAX_OPEN_REQUESTS,
    MAX_STATUS_BYTES,
    AgentList,
    AgentRequest,
    AgentRequests,
    AgentStatus,
    Confirmation,
    KnownAgent,
    LeaseWish,
    NewRequest,
    RequestOutcome,
    RequestStatus,
)
from transfer.wire.errors import BadName, LimitReached, NotFound, ScopeRejected, TooLarge

router = APIRouter(tags=["agents"], route_class=GuardedRoute)

MAX_AGENTS = 64  # of one session
MAX_CONFIRMED_REQUESTS = 20  # that are still shown, of one agent
SILENT = timedelta(days=1)  # an agent that has not reported for that long is replaced by another

_OPEN = agent_requests.c.outcome.is_(None)


@router.put(
    protocol.AGENT,
    dependencies=[permits(Permission.WRITE, max_body_bytes=MAX_STATUS_BYTES)],
    responses=problems(ScopeRejected, NotFound, BadName, TooLarge, LimitReached),
)
def report_status(session: SessionName, agent: UUID, status: AgentStatus, request: Request) -> AgentRequests:
    """Report the state of an agent. The answer says what is asked of it, whether it may work, how the receiver is."""
    receiver = receiver_of(request)
    moment = receiver.clock()
    with receiver.database.write() as connection:
        session_id, state = state_of(connection, session)
        key, is_new = _keep(connection, session_id, agent, status, moment)
        answer = lease_of(connection, session_id, agent, status, moment)
        for confirmation in status.confirmed:
            _confirm(connection, key, confirmation)
        asked = connection.execute(
            select(agent_requests).where(agent_requests.c.agent_key == key, _OPEN).order_by(agent_requests.c.id)
        ).all()
    agent_and_host = agent, status.host
    if is_new:
        log_in_session(request, session, "agent %s on %r reported for the first time", *agent_and_host)
    for loser in answer.taken_from:
        log_in_session(request, session, "agent %s on %r took the lease over from %s on %r", *agent_and_host, *loser)
    if answer.is_released:
        log_in_session(request, session, "agent %s on %r has ended", *agent_and_host)
    return AgentRequests(
        requests=tuple(AgentRequest(id=row.request_id, kind=row.kind, exposure_id=row.exposure_id) for row in asked),
        lease=answer.lease,
        receiver=state,
        account=_account(receiver, session, session_id, is_last=status.lease == LeaseWish.RELEASE),
    )


def _account(receiver: Receiver, session: str, session_id: int, *, is_last: bool) -> SessionAccount | None:
    """Return where the exposures of a session are, if that is due: now and then, and at an agent's end."""
    if not (is_last or receiver.alarms.is_due(session)):
        return None
    with receiver.database.read() as connection:
        account = accounts_of(connection, [session_id], receiver.registrar_names, receiver.clock())[session_id]
    receiver.alarms.take(session, account)
    return account


def _keep(
    connection: Connection, session_id: int, agent: UUID, status: AgentStatus, moment: datetime
) -> tuple[int, bool]:
    """Keep an agent's report instead of its last one; return the agent's key, and whether there was no last one."""
    kept = {**status.model_dump(mode="json"), CLAIMED_THEN: claimed_count(connection, session_id)}
    report = {"status": json.dumps(kept), "reported_at": moment}
    key: int | None = connection.scalar(
        update(agents)
        .where(agents.c.session_id == session_id, agents.c.agent == agent)
        .values(report)
        .returning(agents.c.id)
    )
    if key is not None:
        return key, False
    count = connection.scalar(select(func.count()).select_from(agents).where(agents.c.session_id == session_id))
    if (count or 0) >= MAX_AGENTS:
        _make_room(connection, session_id, moment)
    made: int = connection.execute(
        insert(agents).values(session_id=session_id, agent=agent, **report).returning(agents.c.id)
    ).scalar_one()
    return made, True


def _make_room(connection: Connection, session_id: int, moment: datetime) -> None:
    """Forget the agent that has been silent for longest.

    Raises
    ------
    LimitReached
        All of them reported lately.
    """
    oldest = connection.execute(
        select(agents.c.id, agents.c.reported_at)
        .where(agents.c.session_id == session_id)
        .order_by(agents.c.reported_at)
        .limit(1)
    ).one()
    if moment - oldest.reported_at < SILENT:
        raise LimitReached(
            f"{MAX_AGENTS} agents report to this session already; the receiver does not show another one",
            hint="Stop agents that are not needed. One silent for a day is replaced. Files are received anyway.",
        )
    connection.execute(delete(agents).where(agents.c.id == oldest.id))


def _confirm(connection: Connection, key: int, confirmation: Confirmation) -> None:
    """Note what the agent made of a request; what is not known, or confirmed before, is passed over."""
    connection.execute(
        update(agent_requests)
        .where(agent_requests.c.agent_key == key, agent_requests.c.request_id == confirmation.id, _OPEN)
        .values(outcome=confirmation.outcome.value, reason=confirmation.reason)
    )


def _requests(connection: Connection, keys: list[int]) -> dict[int, list[RequestStatus]]:
    """Return the requests to some agents, oldest first."""
    rows = connection.execute(
        select(agent_requests).where(agent_requests.c.agent_key.in_(keys)).order_by(agent_requests.c.id)
    )
    found: dict[int, list[RequestStatus]] = {}
    for row in rows:
        found.setdefault(row.agent_key, []).append(_request_status(row))
    return found


def _request_status(row: Row[Any]) -> RequestStatus:
    return RequestStatus(
        id=row.request_id,
        kind=row.kind,
        exposure_id=row.exposure_id,
        requested_at=row.requested_at,
        outcome=RequestOutcome(row.outcome) if row.outcome else None,
        reason=row.reason,
    )


def _agents(connection: Connection, session_id: int, *conditions: Any) -> tuple[KnownAgent, ...]:
    rows = connection.execute(
        select(agents).where(agents.c.session_id == session_id, *conditions).order_by(agents.c.id)
    ).all()
    asked = _requests(connection, [row.id for row in rows])
    return tuple(
        KnownAgent(
            agent=row.agent,
            reported_at=row.reported_at,
            status=AgentStatus.model_validate_json(row.status),
            requests=tuple(asked.get(row.id, ())),
        )
        for row in rows
    )


@router.get(
    protocol.AGENTS, dependencies=[permits(Permission.READ)], responses=problems(ScopeRejected, NotFound, BadName)
)
def list_agents(session: SessionName, request: Request) -> AgentList:
    """List the agents of a session, each with its last report."""
    with receiver_of(request).database.read() as connection:
        return AgentList(agents=_agents(connection, session_id_of(connection, session)))


@router.get(
    protocol.AGENT, dependencies=[permits(Permission.READ)], responses=problems(ScopeRejected, NotFound, BadName)
)
def get_agent(session: SessionName, agent: UUID, request: Request) -> KnownAgent:
    """Show the last report of an agent."""
    with receiver_of(request).database.read() as connection:
        found = _agents(connection, session_id_of(connection, session), agents.c.agent == agent)
    if not found:
        raise _no_agent(session, agent)
    return found[0]


def _no_agent(session: str, agent: UUID) -> NotFound:
    return NotFound(
        f"no agent {agent} has reported to session {session!r}",
        hint="Check the agent's id, and that it runs (`cryoferry watch`).",
    )


@router.post(
    protocol.AGENT_REQUESTS,
    dependencies=[permits(Permission.ADMIN)],
    status_code=201,
    response_model=RequestStatus,
    responses={
        200: {"model": RequestStatus, "description": "The same was asked before, and is not confirmed yet."},
        **problems(ScopeRejected, NotFound, BadName, LimitReached),
    },
)
def ask_agent(
    session: SessionName, agent: UUID, wanted: NewRequest, request: Request, response: Response
) -> RequestStatus:
    """Ask an agent to retry an exposure, to pause, or to resume."""
    with receiver_of(request).database.write() as connection:
        key: int | None = connection.scalar(
            select(agents.c.id).where(
                agents.c.session_id == session_id_of(connection, session), agents.c.agent == agent
            )
        )
        if key is None:
            raise _no_agent(session, agent)
        asked = _requests(connection, [key]).get(key, [])
        still_open = [one for one in asked if one.outcome is None]
        newest = next((one for one in reversed(still_open) if one.exposure_id == wanted.exposure_id), None)
        if newest is not None and newest.kind == wanted.kind.value:  # not the pause before a resume
            response.status_code = 200
            return newest
        if len(still_open) >= MAX_OPEN_REQUESTS:
            raise LimitReached(
                f"agent {agent} has {len(still_open)} requests that it has not confirmed; this one is not kept",
                hint="Wait until the agent confirms some of them; check that it runs and takes requests.",
            )
        _forget_confirmed(connection, [one for one in asked if one.outcome is not None])
        values = {"kind": wanted.kind.value, "exposure_id": wanted.exposure_id, "requested_at": now()}
        made = connection.execute(
            insert(agent_requests).values(request_id=uuid4(), agent_key=key, **values).returning(agent_requests)
        )
        return _request_status(made.one())


def _forget_confirmed(connection: Connection, confirmed: list[RequestStatus]) -> None:
    """Delete all but the newest confirmed requests."""
    old = [one.id for one in confirmed[:-MAX_CONFIRMED_REQUESTS]]
    if old:
        connection.execute(delete(agent_requests).where(agent_requests.c.request_id.in_(old)))
